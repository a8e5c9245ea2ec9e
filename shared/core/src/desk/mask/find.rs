//! Values by their pattern: what an e-mail address, a phone number, a street or an order number looks like, in the seven
//! languages of the desk. Too much is better than too little here: what is replaced by mistake comes back with the answer.

use std::sync::LazyLock;

use regex::Regex;

use super::view::View;
use super::{Kind, Span};

/// A digit-run with fewer digits is no phone number.
pub(in crate::desk) const SHORTEST_PHONE: usize = 7;

/// Top-level domains under which customers and shops are found: what ends in one is a domain without `www` or a scheme.
pub(in crate::desk) const DOMAINS: &str = "com|net|org|info|biz|edu|gov|eu|de|at|ch|fr|es|it|nl|be|pt|br|mx|ar|co|us|uk|ie|ca|au|nz|dk|se|no|fi|pl|cz|gr|ro|hu|ru|ua|tr|cn|jp|kr|in|io|ai|me|tv|cc|ly|gl|gg|to|app|dev|shop|store|online|site|xyz|top|club|link|click|live|pro|example|test|cloud|email|page|website|tech|space|icu|buzz|vip|zip|mov|support|help|world|today|biz|tk|ml|ga|cf|ws|su";

struct Pattern {
    kind: Kind,
    regex: Regex,
}

/// A name as people write theirs: words with a capital, particles between them.
const NAME: &str = r"\p{Lu}[\p{L}\p{M}'.-]*(?:[ \t]+(?:(?:de|da|do|dos|del|della|di|du|van|von|der|den|la|le|y|zu|bin|al)[ \t]+)*\p{Lu}[\p{L}\p{M}'.-]*){0,3}";

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let compile =
        |(kind, source): (Kind, String)| Regex::new(&source).ok().map(|regex| Pattern { kind, regex });
    sources().into_iter().filter_map(compile).collect()
});

/// The patterns as they are written: what is in the first group is the value, where there is a group.
pub(super) fn sources() -> Vec<(Kind, String)> {
    // The end of a line, with the marks of a quotation on the next.
    let line = r"(?:[ \t]*\n[ \t>|]*)?";
    let label = "[^\\s\"<>()\\[\\]{},;:@.!?⟦⟧]+";
    let local = "(?:\"[^\"\\n]{1,64}\"|[^\\s\"<>()\\[\\]{},;:@⟦⟧]+)";
    let dot = r"(?:\s*[\[({<]\s*(?i:dot|punkt|point|punto|ponto|\.)\s*[\])}>]\s*|\s+(?i:dot|punkt|point|punto|ponto)\s+|\.)";
    let street = "(?i:street|road|avenue|lane|boulevard|drive|court|square|terrace|crescent|highway|parkway)";
    let streets = "(?i:street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|square|sq|terrace|way|close|crescent|highway|hwy|parkway|pkwy)";
    let unit = r"(?:,?[ \t]+(?i:apt|apartment|unit|suite|ste|flat)\.?[ \t]*#?\w+|,?[ \t]*#[ \t]?\w+)?";
    let german = "(?i:straße|strasse|str\\.|straat|gasse|weg|allee|platz|ring|damm|ufer|laan|plein|gracht|kade|dreef|singel|steig|markt)";
    let title = r"(?:(?i:mr|mrs|ms|miss|dr|herrn?|frau|monsieur|madame|mme|señora?|sra?|signora?|sig|de heer|mevrouw|senhora?)\.?[ \t]+)";
    vec![
        (Kind::Email, format!("{local}?{line}@{line}(?:\\[[0-9a-fA-F:.]+\\]|{label}(?:\\.{line}{label})?(?:\\.{label})*)")),
        (Kind::Email, r"[\p{L}\d._+-]+[ \t]+@[ \t]+[\p{L}\d-]+(?:\.[\p{L}\d-]+)*".to_owned()),
        (Kind::Email, r"[^\s⟦⟧]+@|@[^\s⟦⟧]+".to_owned()),
        (Kind::Email, format!(r"[\p{{L}}\d._+-]+\s*[\[({{<]\s*(?i:at|@|arroba|chez|ät)\s*[\])}}>]\s*[\p{{L}}\d-]+(?:{dot}[\p{{L}}\d-]+)*")),
        (Kind::Email, format!(r"[\p{{L}}\d._+-]+\s+(?i:at|arroba|chez|ät)\s+[\p{{L}}\d-]+(?:{dot}[\p{{L}}\d-]+)*{dot}(?i:{DOMAINS})\b")),
        (Kind::Link, r#"[a-zA-Z][a-zA-Z0-9+.-]*[ \t]?:[ \t]?//[^\s<>"⟦⟧]+"#.to_owned()),
        (Kind::Link, r#"\b(?i:mailto|tel|sms|javascript|data|hxxps?|https?):[^\s<>"⟦⟧]+"#.to_owned()),
        (Kind::Link, r#"\b(?i:www)\.[^\s<>"⟦⟧]+"#.to_owned()),
        (Kind::Link, format!(r#"[\p{{L}}\d][\p{{L}}\d-]*(?:\.[\p{{L}}\d-]+)*\.(?i:{DOMAINS}|xn--[a-z0-9-]+)\b(?:[/?#:][^\s<>"⟦⟧]*)?"#)),
        (Kind::Link, r#"[\p{L}\d][\p{L}\d-]*(?:\.[\p{L}\d-]+)*\.\p{L}{2,}/[^\s<>"⟦⟧]*"#.to_owned()),
        (Kind::Link, r#"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b(?:[/:][^\s<>"⟦⟧]*)?"#.to_owned()),
        (Kind::Account, r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b".to_owned()),
        (Kind::Order, r"#[ \t]?(?:[A-Za-z]{1,8}-?)?\d[\dA-Za-z-]*".to_owned()),
        (Kind::Order, r"\b(?i:orders?|purchase|booking|achat|compra|acquisto|aankoop|kauf|bestell\w*|auftrag\w*|commande|pedido|ordine|bestelling|encomenda|rechnung\w*|invoice|facture|factura|fattura|factuur|fatura)\b[^\n\d⟦⟧]{0,24}?((?:\b[A-Za-z]{1,8}-)?\d{3,}[\dA-Za-z-]*)".to_owned()),
        (Kind::Order, r"\b(?i:nr|no|num|numero|número|numéro|nummer|number|n)[.°º:]*[ \t]*((?:[A-Za-z]{1,8}-)?\d{3,}[\dA-Za-z-]*)".to_owned()),
        (Kind::Number, r"\b\d{5,6}\b".to_owned()),
        (Kind::Address, format!(r"\b\d{{1,5}}[a-zA-Z]?,?[ \t]+(?:\p{{Lu}}[\p{{L}}'.-]*[ \t]+){{1,4}}{streets}\b\.?{unit}")),
        (Kind::Address, format!(r"\b\d{{1,5}}[a-zA-Z]?,?[ \t]+(?:[\p{{L}}'.-]+[ \t]+){{1,2}}{street}\b{unit}")),
        (Kind::Address, format!(r"(?:\p{{Lu}}[\p{{L}}'.-]*[ \t]+){{1,3}}(?:Street|Road|Avenue|Lane|Boulevard)\b(?:[ \t]+\d+\w?)?{unit}")),
        (Kind::Address, format!(r"[\p{{L}}-]{{2,}}{german}[ \t]*\d{{1,4}}[ \t]?[a-zA-Z]?\b")),
        (Kind::Address, format!(r"(?:\p{{Lu}}[\p{{L}}.-]*[ \t]+){{1,3}}{german}[ \t]*\d{{1,4}}[ \t]?[a-zA-Z]?\b")),
        (Kind::Address, r"[\p{L}-]{3,}(?i:straße|strasse|straat|gracht)\b".to_owned()),
        (Kind::Address, r"\b\d{1,4}[ \t]*(?i:bis|ter)?,?[ \t]+(?i:rue|avenue|boulevard|chemin|allée|impasse|quai|cours|route|place)[ \t]+[\p{L}'-]+(?:[ \t]+[\p{L}'-]+){0,4}".to_owned()),
        (Kind::Address, r"\b(?i:rue|calle|avenida|avda\.?|plaza|paseo|via|viale|piazza|corso|rua|travessa|largo|praça)[ \t]+(?:[\p{L}'.]+[ \t]+){0,4}?[\p{L}'.]+,?[ \t]*(?:n[°º.o]*[ \t]*)?\d{1,4}\b".to_owned()),
        (Kind::Address, r"\b(?i:p\.?[ \t]?o\.?[ \t]?box|postfach|boîte postale|apartado|casella postale|postbus|caixa postal)[ \t]*\d[\d \t]*".to_owned()),
        (Kind::Address, r"\b[A-Z]{1,2}\d[A-Z\d]?[ \t]?\d[A-Z]{2}\b".to_owned()),
        (Kind::Address, r"\b[A-Z]\d[A-Z][ \t]?\d[A-Z]\d\b".to_owned()),
        (Kind::Address, r"\b\d{4}[ \t]?[A-Z]{2}\b(?:[ \t]+\p{Lu}\p{L}+)?".to_owned()),
        (Kind::Address, r"(?:\p{Lu}[\p{L}.-]*(?:[ \t]\p{Lu}[\p{L}.-]*)?,[ \t]*)?\b[A-Z]{2},?[ \t]+\d{5}(?:-\d{4})?\b".to_owned()),
        (Kind::Address, r"\b(?:[A-Z]{1,2}-)?\d{5}[ \t]+\p{Lu}[\p{L}-]+(?:[ \t]+(?:am|an der|im|la|le|de)?[ \t]*\p{Lu}[\p{L}-]+)?".to_owned()),
        (Kind::Address, r"\b(?:[A-Z]{1,2}-)?(?:1[0-8]|[3-9]\d|2[1-9])\d{2}[ \t]+\p{Lu}\p{Ll}[\p{L}-]+".to_owned()),
        (Kind::Address, r"\b\d{4}-\d{3}\b(?:[ \t]+\p{Lu}\p{L}+)?".to_owned()),
        (Kind::Name, format!(r"\b(?i:my name is|my name's|i am called|ich heiße|ich heisse|mein name ist|je m'appelle|mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome è|ik heet|mijn naam is|chamo-me|me chamo|o meu nome é|meu nome é|name:|nom:|nombre:|nome:|naam:)[ \t]*({NAME})")),
        (Kind::Name, r"(?m)\b(?i:kind regards|best regards|warm regards|regards|sincerely|yours truly|yours|cheers|thanks|thank you|many thanks|thx|best wishes|best|grüßen|grüße|gruß|grüsse|gruss|mfg|lg|vg|danke|cordialement|bien à vous|merci|salutations|saludos|un saludo|atentamente|gracias|saluti|grazie|groet|groeten|groetjes|bedankt|mvg|atenciosamente|cumprimentos|obrigad[oa]|abraços)[,.!]*[ \t]*\n[\s>|]*-*[ \t]*([\p{L}\p{M}'.-]+(?:[ \t]+[\p{L}\p{M}'.-]+){0,3})[ \t]*,?$".to_owned()),
        (Kind::Name, format!(r"(?m)\b(?i:regards|sincerely|cheers|thanks|thank you|thx|grüße|gruß|mfg|lg|vg|danke|cordialement|merci|saludos|gracias|saluti|grazie|groet|groeten|groetjes|bedankt|cumprimentos|obrigad[oa]|abraços)[,.!]*[ \t]+({NAME})[ \t]*$")),
        (Kind::Name, format!(r"(?m)^[>| \t]*(?i:hi|hello|hey|dear|hallo|liebe[rs]?|sehr geehrte[rs]?|guten tag|moin|bonjour|salut|chère?|hola|estimad[oa]|querid[oa]|buenos días|ciao|gentile|buongiorno|beste|geachte|olá|car[oa]|prezad[oa])[ \t]+{title}?({NAME})")),
        (Kind::Name, format!(r"\b(?:Mr|Mrs|Ms|Miss|Dr|Herrn?|Frau|Monsieur|Madame|Mme|Señora?|Sra?|Signora?|Sig|Mevrouw|Senhora?)\.?[ \t]+({NAME})")),
        (Kind::Name, r"(?m)^[>| \t]*(?:From|To|Cc|Von|An|De|À|Para|Da|A|Van|Aan)[ \t]*:[ \t]*([^\n<>⟦⟧]+)".to_owned()),
        (Kind::Name, format!(r#""?({NAME})"?[ \t]*<[^>\s]*@"#)),
        (Kind::Name, format!(r"({NAME})[ \t]*(?:<[^>\n]*>|\([^)\n]*\))?\s+(?i:wrote|a écrit|escribió|ha scritto|schreef|escreveu)")),
        (Kind::Name, format!(r"\b(?i:schrieb|schreef)[ \t]+{title}?({NAME})")),
    ]
}

/// How many patterns there are to seek by: as many as are written.
#[cfg(test)]
pub(super) fn compiled() -> usize {
    PATTERNS.len()
}

static DIGITS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\+?\(?[0-9](?:[\s().\-/·+>|]{0,4}[0-9])+").ok());

/// A token of letters and digits, with hyphens.
static CODE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\b[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*\b").ok());

static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"\b(?:(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12][0-9]|3[01])|(?:0?[1-9]|[12][0-9]|3[01])[-/.](?:0?[1-9]|[12][0-9]|3[01])[-/.](?:19|20)[0-9]{2})\b",
    )
    .ok()
});

/// Every value of a text by its pattern; they can overlap.
pub(in crate::desk) fn patterns(view: &View) -> Vec<Span> {
    let text = &view.text;
    let mut spans = Vec::new();
    let mut add = |kind, start: usize, end: usize| {
        let (start, end) = view.origin(start, end);
        spans.push(Span { start, end, kind, known: None });
    };
    for pattern in PATTERNS.iter() {
        for found in pattern.regex.captures_iter(text) {
            if let Some(value) = found.get(1).or_else(|| found.get(0)) {
                let trimmed = match pattern.kind {
                    Kind::Link | Kind::Email => {
                        value.as_str().trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', ')', ']', '*'])
                    }
                    _ => value.as_str().trim_end(),
                };
                let lead = value.as_str().len() - value.as_str().trim_start().len();
                if trimmed.len() > lead {
                    add(pattern.kind, value.start() + lead, value.start() + trimmed.len());
                }
            }
        }
    }
    let undated = without_dates(text);
    for found in DIGITS.iter().flat_map(|digits| digits.find_iter(&undated)) {
        let digits = found.as_str().bytes().filter(u8::is_ascii_digit).count();
        let one_run = found.as_str().bytes().all(|byte| byte.is_ascii_digit());
        if digits >= SHORTEST_PHONE {
            let kind = match digits {
                13..=19 if one_run || !found.as_str().starts_with(['+', '(', '0']) => Kind::Account,
                12.. if one_run => Kind::Tracking,
                20.. => Kind::Number,
                _ => Kind::Phone,
            };
            add(kind, found.start(), found.end());
        }
    }
    for found in CODE.iter().flat_map(|code| code.find_iter(&undated)) {
        let digits = found.as_str().bytes().filter(u8::is_ascii_digit).count();
        let letters = found.as_str().bytes().any(|byte| byte.is_ascii_alphabetic());
        if found.len() >= 8 && digits >= 5 && letters {
            add(Kind::Tracking, found.start(), found.end());
        }
    }
    spans
}

/// A text whose dates are letters, byte for byte: a day is no phone number. What stands beside other digits stays: then it
/// may be a part of one.
fn without_dates(text: &str) -> String {
    let mut bare = text.as_bytes().to_vec();
    for date in DATE.iter().flat_map(|date| date.find_iter(text)) {
        let separator = |c: &char| c.is_whitespace() || "().-/+>|".contains(*c);
        let before = text[..date.start()].chars().rev().take(5).find(|c| !separator(c));
        let after = text[date.end()..].chars().take(5).find(|c| !separator(c));
        let clock = text[date.end()..].trim_start().split_once(':').is_some_and(|(hour, _)| hour.len() <= 2);
        let joined = before.is_some_and(|c| c.is_ascii_digit())
            || (after.is_some_and(|c| c.is_ascii_digit()) && !clock);
        if !joined {
            bare[date.range()].fill(b'_');
        }
    }
    String::from_utf8(bare).unwrap_or_else(|_| text.to_owned())
}
