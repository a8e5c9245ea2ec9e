//! What in a reply a mail program could make a link of, and whether it leads where it may.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

use super::Allowed;
use crate::desk::context::OrderContext;

/// Abbreviations that look like a domain.
const NO_DOMAINS: [&str; 6] = ["p.ej", "u.a.m", "i.v.m", "m.a.w", "n.v.t", "z.hd"];

static LINKS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // A scheme, even with spaces in it or spelled so that filters miss it.
        r#"[\p{L}][\p{L}\d+.-]*\s?(?::|\[:\]|%3[aA])\s?(?:/|\\|%2[fF]){1,}[^\s<>"]*"#,
        r#"\b(?i:javascript|data|vbscript|file|sms|whatsapp|tg|bitcoin|ftp|hxxps?|https?)\s?:\s?[^\s<>"]+"#,
        r#"(?:^|[\s(<"'\[])//[^\s<>"]+"#,
        // A domain, in any script. The last part is a name: 12.50 is none.
        r#"[\p{L}\p{N}][\p{L}\p{N}\p{M}_-]*(?:\.[\p{L}\p{N}][\p{L}\p{N}\p{M}_-]*)*\.(?:\p{L}[\p{L}\p{M}]+|(?i:xn--)[\p{L}\p{N}-]+)(?:[/?#:][^\s<>"]*)?"#,
        // An address by number.
        r#"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b(?:[/:][^\s<>"]*)?"#,
        // "evil dot com", "evil[.]com".
        r"[\p{L}\p{N}-]+\s*[\[({<]\s*(?i:dot|\.|punkt|point|punto|ponto)\s*[\])}>]\s*[\p{L}\p{N}-]+",
        // "evil .com": what only people follow. Endings that are words of a sentence are left out.
        r"[\p{L}\p{N}-]+(?:\s+\.\s?|\.\s)(?:com|net|org|info|biz|xyz|shop|online|site|example)\b",
        r"[\p{L}\p{N}-]+\s+(?i:dot|punkt|point|punto|ponto)\s+(?i:com|net|org|info|biz|eu|de|fr|es|it|nl|be|pt|br|uk|io|co|me|ru|cn|xyz|top|shop|store|online|site|link|click|app|dev|example)\b",
    ]
    .into_iter()
    .filter_map(|source| Regex::new(source).ok())
    .collect()
});

#[cfg(test)]
pub(super) fn count() -> usize {
    LINKS.len()
}

/// Everything that could become a link, as it is written. The part of an e-mail address behind its `@` is none: addresses
/// have their own check.
pub(super) fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in LINKS.iter() {
        for link in pattern.find_iter(text) {
            let address = text[..link.start()].ends_with('@')
                || (text[link.end()..].starts_with('@') && !link.as_str().contains('/'));
            let plain = link.as_str().trim_start_matches(|c: char| c.is_whitespace() || "(<\"'[".contains(c));
            let plain = plain
                .trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', ')', ']', '*', '_', '»', '”', '“']);
            if !address && !NO_DOMAINS.contains(&plain.to_lowercase().as_str()) && !plain.is_empty() {
                found.push(plain.to_owned());
            }
        }
    }
    found
}

/// Whether a link leads to the shop, where its merchant allows, or to a parcel of the order.
pub(super) fn is_allowed(link: &str, allowed: &Allowed, order: Option<&OrderContext>) -> bool {
    let parcels =
        order.into_iter().flat_map(|order| &order.tracking).filter_map(|parcel| parcel.url.as_ref());
    let exactly = |own: &str| {
        own == link || own.strip_prefix("https://").or_else(|| own.strip_prefix("http://")) == Some(link)
    };
    if parcels.into_iter().any(|own| exactly(own.expose())) || allowed.written.iter().any(|own| exactly(own))
    {
        return true;
    }
    let lower = link.to_lowercase();
    let rest = match lower.split_once("://") {
        Some(("https" | "http", rest)) => rest,
        Some(_) => return false,
        None => &lower,
    };
    // Nothing that is read in two ways, and no second address behind the first.
    let odd = |c: char| c == '\\' || c == '@' || c.is_control() || (!c.is_ascii() && !c.is_alphanumeric());
    if rest.contains(odd) || rest.contains("//") || rest.contains("%2f%2f") || rest.contains("%5c") {
        return false;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if path.contains("://")
        || path.contains("%3a")
        || links(path.trim_start_matches(['/', '?', '#'])).iter().any(|inner| is_elsewhere(inner, allowed))
    {
        return false;
    }
    let own_domain = allowed.domains.iter().any(|own| is_below(host, own));
    let beginning = || {
        let original = link.split_once("://").map_or(link, |(_, rest)| rest);
        allowed.links.iter().filter_map(|own| own.split_once("://")).any(|(_, own)| {
            let bare = own.trim_end_matches('/');
            let (own_host, own_path) = bare.split_once('/').unwrap_or((bare, ""));
            let path = original.get(host.len()..).unwrap_or_default();
            host == own_host.to_lowercase()
                && !path.contains("..")
                && !path.to_lowercase().contains("%2e")
                && path.strip_prefix('/').unwrap_or(path).strip_prefix(own_path).is_some_and(|more| {
                    more.is_empty() || own_path.is_empty() || more.starts_with(['/', '?', '#'])
                })
        })
    };
    !host.contains(':') && (own_domain || beginning())
}

/// Whether part of a path names a domain that is not the shop's: what redirects lead to.
fn is_elsewhere(inner: &str, allowed: &Allowed) -> bool {
    let inner = inner.rsplit(['=', '&']).next().unwrap_or(inner);
    let end = inner.find(['/', '?', '#']).unwrap_or(inner.len());
    let host = &inner[..end];
    let file =
        ["html", "htm", "php", "pdf", "jpg", "png", "aspx"].iter().any(|ending| host.ends_with(ending));
    !file && !allowed.domains.iter().any(|own| is_below(host, own))
}

fn is_below(host: &str, domain: &str) -> bool {
    let bare = host.strip_suffix('.').unwrap_or(host);
    bare == domain || bare.strip_suffix(domain).is_some_and(|below| below.ends_with('.') && below.len() > 1)
}

/// A domain as it is compared: lower case, without a scheme, a path or a dot at its end.
pub(super) fn host(text: &str) -> String {
    let plain: String = text.trim().nfkc().collect::<String>().to_lowercase();
    let rest = plain.split_once("://").map_or(plain.as_str(), |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().trim_matches('.').to_owned()
}

/// Whether a text has HTML or Markdown in it that shows something else than it does.
pub(super) fn has_markup(text: &str) -> bool {
    static MARKUP: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)</?[a-z!][^>]*>?|!?\[[^\]\n]*\]\s*\(|!?\[[^\]\n]+\]\s*\[|(?m:^\s*\[[^\]\n]+\]:\s*\S)|&(?:#x?[0-9a-f]+|[a-z]{2,8});").ok()
    });
    MARKUP.as_ref().is_none_or(|markup| markup.is_match(text))
}
