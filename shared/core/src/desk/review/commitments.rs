//! What commits a shop, told by words of seven languages. Every language is looked for in every text, and a mere mention
//! counts, unless it is of what the customer asks: too much costs a look by a person, too little costs the merchant.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::Commitment;
use crate::intent::Language;
use crate::normalize;

/// What the customer wants is no promise. Folded.
const MENTIONS: &str = r"\b(?:your (?:refund|return|exchange|replacement|cancellation)? ?(?:request|question|inquiry|enquiry|message)(?: (?:for|about|regarding) (?:a|the|your) (?:refund|return|exchange|replacement|discount))?|(?:refund|return|returns|exchange|shipping) policy|(?:request|ask|asked|asking|question|questions) (?:for|about) (?:a |the |your )?(?:refund|return|exchange|replacement|discount))\b";

/// What stands for each commitment, folded: no marks, lower case, words parted by one space.
const WORDS: [(Commitment, &str); 5] = [
    (
        Commitment::Refund,
        r"refund\w*|reimburs\w*|money back|credit(?:ed|ing)? (?:you|your|the amount)|store credit|charge ?back|pay you back|(?:ruck|zuruck)?erstatt\w*|geld zuruck\w*|ruckzahlung\w*|gutschrift\w*|gutschreib\w*|uberweis\w*|zuruckuberweis\w*|rembours\w*|avoir sur votre|reembols\w*|devolveremos|devolver\w* (?:el|o|su|seu|lhe|le)? ?(?:dinero|dinheiro|importe|valor)|devolucion del (?:dinero|importe)|rimbors\w*|restituir\w*|riaccredit\w*|terugbeta\w*|geld terug|terugstort\w*|restitutie|crediteren|estorn\w*|devolucao do (?:valor|dinheiro)",
    ),
    (
        Commitment::Return,
        r"(?:you (?:can|may)|please|free to|simply) (?:return|send (?:it|them|the \w+) back)|send (?:it|them|the \w+) back|return (?:label|shipping|the|it|them|your|within)|returns? (?:is|are|has been|have been) (?:approved|accepted|authori\w+|free)|accept (?:the|your) return|prepaid label|rma|retour\w*|rucksend\w*|zuruck ?(?:send|schick)\w*|rucknahme|renvoy\w*|devolver\w*|devuelv\w*|devolu\w*|etiqueta de (?:devolucion|devolucao)|resi|reso|rendere|rispedi\w*|restituzione|terugstur\w*|terug te sturen|retourner\w*",
    ),
    (
        Commitment::Exchange,
        r"replac\w*|exchang\w*|send (?:you )?(?:a new|another)|new one|resend\w*|reship\w*|ersatz\w*|umtausch\w*|austausch\w*|tauschen|neu(?:en|es|e)? (?:artikel|exemplar|paket) (?:zu|an)?|erneut (?:zu)?senden|remplac\w*|echang\w*|reemplaz\w*|cambio|cambiar\w*|sustitu\w*|reenvi\w*|sostitu\w*|cambiare|rimpiazz\w*|vervang\w*|omruil\w*|ruilen|opnieuw (?:op|ver)?stur\w*|substitu\w*|troca\w*|trocar\w*",
    ),
    (
        Commitment::Discount,
        r"discount\w*|voucher\w*|coupon\w*|promo(?:tion)? ?codes?|\d+ (?:percent|prozent|pour cent|por ciento|per cento|procent|por cento)|free of charge|for free|on the house|rabatt\w*|gutschein\w*|preisnachlass\w*|nachlass|kostenlos\w*|gratis|remise\w*|reduction\w*|bon d achat|code promo|gratuit\w*|descuento\w*|cupon\w*|vale de|sin coste|sconto|sconti|buono|omaggio|gratuita\w*|korting\w*|kortingscode|tegoedbon|waardebon|desconto\w*|cupom|vale compras|compensat\w*|compensa\w*|entschadig\w*|kulanz\w*|dedommag\w*|risarc\w*|vergoed\w*|indemni\w*",
    ),
    (
        Commitment::Date,
        r"(?:\d+|one|two|three|four|five|six|seven|a few|a couple of|ein|eine|einem|einer|zwei|drei|vier|funf|wenige[nr]?|un|une|deux|trois|quatre|cinq|quelques|dos|tres|cuatro|cinco|unos|due|tre|quattro|cinque|pochi|een|twee|drie|vijf|enkele|dois|duas|quatro|poucos) (?:to \d+ |bis \d+ |a \d+ |tot \d+ |\d+ )?(?:business |working |kalender|calendar )?(?:minute|hour|day|week|month|werktag|tag|stunde|woche|monat|jour|heure|semaine|mois|dia|hora|semana|mes|giorn|ora|ore|settiman|mese|dag|uur|uren|werkdag|week|weken|maand)\w*|(?:business|working) days?|werktag\w*|jours ouvr\w*|dias (?:habiles|laborables|uteis)|giorni lavorativi|werkdag\w*|tomorrow|today|tonight|by (?:the )?(?:end|noon|evening)|next (?:week|month)|this week|morgen|ubermorgen|heute|nachste[rn]? (?:woche|tag\w*|monat)|diese[r]? woche|demain|aujourd hui|ce soir|la semaine prochaine|manana|hoy|la proxima semana|la semana que viene|domani|oggi|stasera|la settimana prossima|settimana prossima|vandaag|volgende week|deze week|overmorgen|amanha|hoje|proxima semana|semana que vem|monday|tuesday|wednesday|thursday|friday|saturday|sunday|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonnabend|sonntag|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miercoles|jueves|viernes|sabado|domingo|lunedi|martedi|mercoledi|giovedi|venerdi|sabato|domenica|maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag|segunda feira|terca feira|quarta feira|quinta feira|sexta feira|(?:\d{1,2}(?:st|nd|rd|th)? ?(?:of |de |di |do )?)(?:jan\w*|feb\w*|fev\w*|mar|mars|marz|march|marzo|marco|maart|apr\w*|avr\w*|abr\w*|may|mai|mei|mayo|maggio|maio|jun\w*|juin|giugno|jul\w*|juil\w*|luglio|aug\w*|aout|ago\w*|sep\w*|set\w*|oct\w*|okt\w*|out|outubro|ottobre|nov\w*|dec\w*|dez\w*|dic\w*)|(?:january|february|march|april|may|june|july|august|september|october|november|december) \d{1,2}",
    ),
];

/// Days and percentages in figures, sought before folding takes their marks away.
const FIGURES: [(Commitment, &str); 2] = [
    (Commitment::Discount, r"\d\s?%|[-−]\s?\d+(?:[.,]\d+)?\s?(?:€|\$|£|EUR|USD|GBP)"),
    (
        Commitment::Date,
        r"\b(?:(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{1,2}\.\s?\d{1,2}\.|\d{1,2}/\d{1,2})(?:\D|$)|\d\s?(?:h|hrs?|Std)\b",
    ),
];

struct Patterns {
    mentions: Regex,
    words: Vec<(Commitment, Regex)>,
    figures: Vec<(Commitment, Regex)>,
}

static COMPILED: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let compile = |list: &[(Commitment, &str)], whole: bool| {
        let regex =
            |source: &str| Regex::new(&if whole { format!(r"\b(?:{source})\b") } else { source.to_owned() });
        list.iter().map(|(which, source)| Some((*which, regex(source).ok()?))).collect::<Option<Vec<_>>>()
    };
    Some(Patterns {
        mentions: Regex::new(MENTIONS).ok()?,
        words: compile(&WORDS, true)?,
        figures: compile(&FIGURES, false)?,
    })
});

/// Whether a commitment can be told in a language.
pub(super) const fn can_be_told_in(language: Language) -> bool {
    matches!(
        language,
        Language::English
            | Language::German
            | Language::French
            | Language::Spanish
            | Language::Italian
            | Language::Dutch
            | Language::Portuguese
    )
}

/// What a text in one of the seven languages commits a shop to. Where it cannot be told, to everything.
#[must_use]
pub fn commitments(text: &str) -> BTreeSet<Commitment> {
    let Some(compiled) = COMPILED.as_ref() else { return Commitment::ALL.into_iter().collect() };
    let folded = normalize::fold(text);
    let folded = compiled.mentions.replace_all(&folded, "…");
    let words = compiled.words.iter().filter(|(_, words)| words.is_match(&folded));
    let figures = compiled.figures.iter().filter(|(_, figures)| figures.is_match(text));
    words.chain(figures).map(|(which, _)| *which).collect()
}
