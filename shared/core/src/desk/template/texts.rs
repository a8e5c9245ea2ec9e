//! The built-in texts: seven languages, four occasions. None of them promises money, a return, a replacement or a day.

use crate::desk::context::OrderState;
use crate::intent::Language;

/// The texts of one language, with the placeholders of macros.
pub(super) struct Texts {
    pub(super) friendly_named: &'static str,
    pub(super) friendly: &'static str,
    pub(super) formal_named: &'static str,
    pub(super) formal: &'static str,
    pub(super) friendly_closing: &'static str,
    pub(super) formal_closing: &'static str,
    pub(super) question: &'static str,
    pub(super) refund: &'static str,
    pub(super) shipping_tracked: &'static str,
    pub(super) shipping_untracked: &'static str,
    pub(super) shipping_unknown: &'static str,
    /// As [`OrderState`] has them: unfulfilled, in part, fulfilled, cancelled, refunded.
    states: [&'static str; 5],
}

impl Texts {
    /// Those of a language; `None` where nothing is built in.
    pub(super) const fn of(language: Language) -> Option<&'static Self> {
        Some(match language {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
            Language::French => &FRENCH,
            Language::Spanish => &SPANISH,
            Language::Italian => &ITALIAN,
            Language::Dutch => &DUTCH,
            Language::Portuguese => &PORTUGUESE,
            _ => return None,
        })
    }

    /// The words for how far an order is.
    pub(super) const fn status(&self, state: OrderState) -> Option<&'static str> {
        Some(match state {
            OrderState::None => return None,
            OrderState::Unfulfilled => self.states[0],
            OrderState::PartiallyFulfilled => self.states[1],
            OrderState::Fulfilled => self.states[2],
            OrderState::Cancelled => self.states[3],
            OrderState::Refunded => self.states[4],
        })
    }
}

const ENGLISH: Texts = Texts {
    friendly_named: "Hi {{customer_name}},",
    friendly: "Hello,",
    formal_named: "Dear {{customer_name}},",
    formal: "Dear customer,",
    friendly_closing: "Best wishes",
    formal_closing: "Kind regards",
    question: "thank you for your message. We have received it, and somebody from our team will read it and answer you.",
    refund: "thank you for your message. We have received your request and are looking into it.\nIt is about your order {{order_name}}.\nSomebody from our team will read it and get back to you.",
    shipping_tracked: "thank you for your message.\nThe state of your order {{order_name}}: {{order_status}}.\nTracking number: {{tracking_number}}\nYou can follow the parcel here: {{tracking_url}}",
    shipping_untracked: "thank you for your message.\nThe state of your order {{order_name}}: {{order_status}}.\nThere is no tracking number for it yet. We are looking into it and will get back to you.",
    shipping_unknown: "thank you for your message. We could not find the order it is about. Please send us the order number, and we will look into it.",
    states: ["not shipped yet", "partly shipped", "shipped", "cancelled", "refunded"],
};

const GERMAN: Texts = Texts {
    friendly_named: "Hallo {{customer_name}},",
    friendly: "Hallo,",
    formal_named: "Guten Tag {{customer_name}},",
    formal: "Guten Tag,",
    friendly_closing: "Viele Grüße",
    formal_closing: "Mit freundlichen Grüßen",
    question: "danke für Ihre Nachricht. Sie ist bei uns angekommen; jemand aus unserem Team liest sie und antwortet Ihnen.",
    refund: "danke für Ihre Nachricht. Ihr Anliegen ist bei uns angekommen, und wir sehen es uns an.\nEs geht um Ihre Bestellung {{order_name}}.\nJemand aus unserem Team meldet sich bei Ihnen.",
    shipping_tracked: "danke für Ihre Nachricht.\nDer Stand Ihrer Bestellung {{order_name}}: {{order_status}}.\nSendungsnummer: {{tracking_number}}\nHier können Sie das Paket verfolgen: {{tracking_url}}",
    shipping_untracked: "danke für Ihre Nachricht.\nDer Stand Ihrer Bestellung {{order_name}}: {{order_status}}.\nEine Sendungsnummer gibt es noch nicht. Wir sehen nach und melden uns bei Ihnen.",
    shipping_unknown: "danke für Ihre Nachricht. Wir konnten die Bestellung dazu nicht finden. Bitte nennen Sie uns die Bestellnummer, dann sehen wir nach.",
    states: ["noch nicht versandt", "teilweise versandt", "versandt", "storniert", "erstattet"],
};

const FRENCH: Texts = Texts {
    friendly_named: "Bonjour {{customer_name}},",
    friendly: "Bonjour,",
    formal_named: "Bonjour {{customer_name}},",
    formal: "Madame, Monsieur,",
    friendly_closing: "Bien à vous",
    formal_closing: "Cordialement",
    question: "merci pour votre message. Nous l'avons bien reçu ; une personne de notre équipe va le lire et vous répondre.",
    refund: "merci pour votre message. Nous avons bien reçu votre demande et nous l'examinons.\nElle concerne votre commande {{order_name}}.\nUne personne de notre équipe reviendra vers vous.",
    shipping_tracked: "merci pour votre message.\nL'état de votre commande {{order_name}} : {{order_status}}.\nNuméro de suivi : {{tracking_number}}\nVous pouvez suivre le colis ici : {{tracking_url}}",
    shipping_untracked: "merci pour votre message.\nL'état de votre commande {{order_name}} : {{order_status}}.\nIl n'y a pas encore de numéro de suivi. Nous vérifions et reviendrons vers vous.",
    shipping_unknown: "merci pour votre message. Nous n'avons pas trouvé la commande concernée. Merci de nous indiquer le numéro de commande, et nous vérifierons.",
    states: ["pas encore expédiée", "expédiée en partie", "expédiée", "annulée", "remboursée"],
};

const SPANISH: Texts = Texts {
    friendly_named: "Hola, {{customer_name}}:",
    friendly: "Hola:",
    formal_named: "Buenos días, {{customer_name}}:",
    formal: "Buenos días:",
    friendly_closing: "Un saludo",
    formal_closing: "Atentamente",
    question: "gracias por su mensaje. Lo hemos recibido, y una persona de nuestro equipo lo leerá y le responderá.",
    refund: "gracias por su mensaje. Hemos recibido su solicitud y la estamos revisando.\nSe trata de su pedido {{order_name}}.\nUna persona de nuestro equipo se pondrá en contacto con usted.",
    shipping_tracked: "gracias por su mensaje.\nEl estado de su pedido {{order_name}}: {{order_status}}.\nNúmero de seguimiento: {{tracking_number}}\nPuede seguir el paquete aquí: {{tracking_url}}",
    shipping_untracked: "gracias por su mensaje.\nEl estado de su pedido {{order_name}}: {{order_status}}.\nTodavía no hay número de seguimiento. Lo estamos revisando y nos pondremos en contacto con usted.",
    shipping_unknown: "gracias por su mensaje. No hemos encontrado el pedido correspondiente. Indíquenos el número de pedido y lo revisaremos.",
    states: ["aún no enviado", "enviado en parte", "enviado", "cancelado", "reembolsado"],
};

const ITALIAN: Texts = Texts {
    friendly_named: "Ciao {{customer_name}},",
    friendly: "Ciao,",
    formal_named: "Buongiorno {{customer_name}},",
    formal: "Buongiorno,",
    friendly_closing: "Un caro saluto",
    formal_closing: "Cordiali saluti",
    question: "grazie per il messaggio. Lo abbiamo ricevuto: una persona del nostro team lo leggerà e risponderà.",
    refund: "grazie per il messaggio. Abbiamo ricevuto la richiesta e la stiamo esaminando.\nRiguarda l'ordine {{order_name}}.\nUna persona del nostro team risponderà.",
    shipping_tracked: "grazie per il messaggio.\nLo stato dell'ordine {{order_name}}: {{order_status}}.\nNumero di tracciamento: {{tracking_number}}\nIl pacco si può seguire qui: {{tracking_url}}",
    shipping_untracked: "grazie per il messaggio.\nLo stato dell'ordine {{order_name}}: {{order_status}}.\nNon c'è ancora un numero di tracciamento. Stiamo verificando e ci faremo sentire.",
    shipping_unknown: "grazie per il messaggio. Non abbiamo trovato l'ordine in questione. Basta inviarci il numero d'ordine e verificheremo.",
    states: ["non ancora spedito", "spedito in parte", "spedito", "annullato", "rimborsato"],
};

const DUTCH: Texts = Texts {
    friendly_named: "Hallo {{customer_name}},",
    friendly: "Hallo,",
    formal_named: "Beste {{customer_name}},",
    formal: "Beste klant,",
    friendly_closing: "Hartelijke groet",
    formal_closing: "Met vriendelijke groet",
    question: "bedankt voor uw bericht. We hebben het ontvangen; iemand van ons team leest het en antwoordt u.",
    refund: "bedankt voor uw bericht. We hebben uw verzoek ontvangen en kijken ernaar.\nHet gaat om uw bestelling {{order_name}}.\nIemand van ons team neemt contact met u op.",
    shipping_tracked: "bedankt voor uw bericht.\nDe stand van uw bestelling {{order_name}}: {{order_status}}.\nVolgnummer: {{tracking_number}}\nU kunt het pakket hier volgen: {{tracking_url}}",
    shipping_untracked: "bedankt voor uw bericht.\nDe stand van uw bestelling {{order_name}}: {{order_status}}.\nEr is nog geen volgnummer. We kijken ernaar en nemen contact met u op.",
    shipping_unknown: "bedankt voor uw bericht. We konden de bestelling waar het om gaat niet vinden. Stuur ons het bestelnummer, dan kijken we ernaar.",
    states: ["nog niet verzonden", "deels verzonden", "verzonden", "geannuleerd", "terugbetaald"],
};

const PORTUGUESE: Texts = Texts {
    friendly_named: "Olá, {{customer_name}},",
    friendly: "Olá,",
    formal_named: "Bom dia, {{customer_name}},",
    formal: "Bom dia,",
    friendly_closing: "Um abraço",
    formal_closing: "Com os melhores cumprimentos",
    question: "obrigado pela sua mensagem. Já a recebemos, e alguém da nossa equipa vai lê-la e responder.",
    refund: "obrigado pela sua mensagem. Recebemos o seu pedido e estamos a analisá-lo.\nTrata-se da encomenda {{order_name}}.\nAlguém da nossa equipa entrará em contacto consigo.",
    shipping_tracked: "obrigado pela sua mensagem.\nO estado da sua encomenda {{order_name}}: {{order_status}}.\nNúmero de rastreio: {{tracking_number}}\nPode seguir o volume aqui: {{tracking_url}}",
    shipping_untracked: "obrigado pela sua mensagem.\nO estado da sua encomenda {{order_name}}: {{order_status}}.\nAinda não há número de rastreio. Estamos a verificar e entraremos em contacto consigo.",
    shipping_unknown: "obrigado pela sua mensagem. Não encontrámos a encomenda em causa. Indique-nos o número da encomenda, e vamos verificar.",
    states: ["ainda não enviada", "enviada em parte", "enviada", "cancelada", "reembolsada"],
};
