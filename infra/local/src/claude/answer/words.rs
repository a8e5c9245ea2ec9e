//! The words the answerer knows: a handful for each intent and language, and the few sentences it can say. It stands in for
//! a model where there is none; how mails are told apart for merchants is `core::intent`'s.

/// Words that speak for an intent, in lower case.
const INTENTS: [(&str, &[&str]); 3] = [
    (
        "spam",
        &[
            "seo",
            "backlink",
            "guest post",
            "rank your",
            "first page of google",
            "crypto",
            "bitcoin",
            "casino",
            "lottery",
            "unsubscribe",
            "marketing services",
            "grow your business",
            "web design services",
        ],
    ),
    (
        "refund",
        &[
            "refund",
            "money back",
            "reimburse",
            "charged twice",
            "send it back",
            "return it",
            "remboursement",
            "rembourser",
            "erstatt",
            "geld zurück",
            "zurückgeben",
            "reembolso",
            "devolución",
            "devolver",
            "rimborso",
            "terugbetaling",
            "damaged",
            "broken",
            "defective",
            "wrong item",
            "kaputt",
            "cassé",
        ],
    ),
    (
        "shipping",
        &[
            "where is",
            "track",
            "deliver",
            "shipping",
            "shipped",
            "arrive",
            "parcel",
            "package",
            "livraison",
            "colis",
            "suivi",
            "lieferung",
            "geliefert",
            "paket",
            "sendung",
            "envío",
            "paquete",
            "pedido",
            "seguimiento",
            "spedizione",
            "pacco",
            "consegna",
            "levering",
            "pakket",
        ],
    ),
];

/// The intent whose words are in a text most often, and how often. A text with none of them is a question.
pub(super) fn intent(text: &str) -> (&'static str, usize) {
    let text = text.to_lowercase();
    let mut best = ("question", 0);
    for (intent, words) in INTENTS {
        let hits = words.iter().map(|word| text.matches(word).count()).sum();
        if hits > best.1 {
            best = (intent, hits);
        }
    }
    best
}

/// How often the words of an intent, or those in the name itself, are in a text.
pub(super) fn score(name: &str, text: &str) -> usize {
    let (name, text) = (name.to_lowercase(), text.to_lowercase());
    let count = |word: &str| text.matches(word).count();
    if let Some((_, words)) = INTENTS.iter().find(|(intent, _)| *intent == name) {
        return words.iter().map(|word| count(word)).sum();
    }
    let words = name.split(|sign: char| !sign.is_alphanumeric()).filter(|word| word.len() > 2);
    words.map(count).sum()
}

/// How many longer words of one text are in another.
pub(super) fn shared(one: &str, other: &str) -> usize {
    let other = other.to_lowercase();
    let one = one.to_lowercase();
    one.split(|sign: char| !sign.is_alphanumeric())
        .filter(|word| word.len() > 4 && other.contains(word))
        .count()
}

/// The sentences of a text, each with its end.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split_inclusive(['.', '!', '?', '\n']);
    parts.map(str::trim).filter(|sentence| sentence.chars().any(char::is_alphabetic))
}

/// A language that the answerer can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    German,
    French,
    Spanish,
    Italian,
    Dutch,
}

const LANGUAGES: [(Language, &[&str]); 6] = [
    (Language::English, &["the", "is", "my", "and", "i", "you", "have", "where", "not", "please", "to"]),
    (
        Language::German,
        &["der", "die", "das", "ist", "ich", "und", "nicht", "mein", "meine", "wo", "bitte", "habe"],
    ),
    (Language::French, &["le", "la", "les", "est", "je", "mon", "ma", "vous", "où", "bonjour", "pas", "et"]),
    (
        Language::Spanish,
        &["el", "los", "está", "mi", "dónde", "por", "hola", "gracias", "quiero", "y", "no", "un"],
    ),
    (
        Language::Italian,
        &["il", "è", "mio", "mia", "dove", "ciao", "grazie", "non", "vorrei", "per", "sono", "un"],
    ),
    (
        Language::Dutch,
        &["de", "het", "een", "is", "mijn", "waar", "ik", "niet", "graag", "bedankt", "en", "hallo"],
    ),
];

impl Language {
    /// The one whose small words a text has most of.
    pub(super) fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|sign: char| !sign.is_alphanumeric()).collect();
        let mut best = (Self::English, 0);
        for (language, small) in LANGUAGES {
            let hits = words.iter().filter(|word| small.contains(word)).count();
            if hits > best.1 {
                best = (language, hits);
            }
        }
        best.0
    }

    /// As ISO 639-1 has it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Italian => "it",
            Self::Dutch => "nl",
        }
    }

    /// A reply: a greeting, what is known, and what comes next.
    pub(super) fn reply(self, intent: &str, facts: &[(String, String)], policy: Option<&str>) -> String {
        let [hello, known, refund, ask, end] = self.phrases();
        if intent == "spam" {
            return String::new();
        }
        let mut parts = vec![hello.to_owned()];
        if !facts.is_empty() {
            let facts: Vec<String> = facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            parts.push(format!("{known}\n{}", facts.join("\n")));
        }
        parts.extend(policy.map(str::to_owned));
        if intent == "refund" {
            parts.push(refund.to_owned());
        } else if facts.is_empty() && policy.is_none() {
            parts.push(ask.to_owned());
        }
        parts.push(end.to_owned());
        parts.join("\n\n")
    }

    const fn phrases(self) -> [&'static str; 5] {
        match self {
            Self::English => [
                "Hello, thank you for your message.",
                "This is what we know of your order:",
                "We will look at your refund.",
                "Could you tell us your order number?",
                "Kind regards",
            ],
            Self::German => [
                "Guten Tag, vielen Dank für Ihre Nachricht.",
                "Das wissen wir über Ihre Bestellung:",
                "Wir kümmern uns um Ihre Erstattung.",
                "Können Sie uns Ihre Bestellnummer nennen?",
                "Freundliche Grüße",
            ],
            Self::French => [
                "Bonjour, merci pour votre message.",
                "Voici ce que nous savons de votre commande :",
                "Nous allons étudier votre remboursement.",
                "Pourriez-vous nous donner votre numéro de commande ?",
                "Bien à vous",
            ],
            Self::Spanish => [
                "Hola, gracias por su mensaje.",
                "Esto es lo que sabemos de su pedido:",
                "Vamos a revisar su reembolso.",
                "¿Podría decirnos su número de pedido?",
                "Un saludo",
            ],
            Self::Italian => [
                "Buongiorno, grazie per il suo messaggio.",
                "Ecco cosa sappiamo del suo ordine:",
                "Esamineremo il suo rimborso.",
                "Può dirci il suo numero d'ordine?",
                "Cordiali saluti",
            ],
            Self::Dutch => [
                "Hallo, bedankt voor uw bericht.",
                "Dit weten we van uw bestelling:",
                "We kijken naar uw terugbetaling.",
                "Kunt u ons uw bestelnummer geven?",
                "Met vriendelijke groet",
            ],
        }
    }
}
