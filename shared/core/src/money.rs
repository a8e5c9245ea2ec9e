//! Amounts as whole minor units: what can be added up without rounding. How an amount is shown is the reader's
//! business; nothing is converted between currencies.

/// ISO 4217 currencies without a minor unit.
const NO_MINOR: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
];

/// ISO 4217 currencies of which a thousandth is the minor unit.
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// The most digits before the point that are read: sums of a shop's orders stay far below what fits.
const LONGEST: usize = 12;

/// How many decimal digits a currency's minor unit stands for; `None` when `currency` is not three capital letters.
#[must_use]
pub fn exponent(currency: &str) -> Option<u32> {
    let code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    code.then(|| {
        if NO_MINOR.contains(&currency) {
            0
        } else if THOUSANDTHS.contains(&currency) {
            3
        } else {
            2
        }
    })
}

/// An amount as Shopify writes it, `12.50`, in the currency's minor units. `None` for what is no plain amount: with a
/// sign, an exponent or more decimals than the currency has (zeros after them are none).
#[must_use]
pub fn minor_units(amount: &str, currency: &str) -> Option<i64> {
    let exponent = usize::try_from(exponent(currency)?).ok()?;
    let (whole, decimals) = amount.split_once('.').unwrap_or((amount, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let decimals = decimals.trim_end_matches('0');
    if whole.is_empty() || whole.len() > LONGEST || !digits(whole) || !digits(decimals) {
        return None;
    }
    if decimals.len() > exponent {
        return None;
    }
    format!("{whole}{decimals:0<exponent$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_as_shopify_writes_them_and_nothing_else_is() {
        for (amount, currency, expected) in [
            ("12.50", "USD", Some(1250)),
            ("12.5", "USD", Some(1250)),
            ("12", "EUR", Some(1200)),
            ("0.00", "EUR", Some(0)),
            ("1000.00", "JPY", Some(1000)),
            ("1.234", "KWD", Some(1234)),
            ("1.50", "JPY", None),
            ("1.234", "USD", None),
            ("-1.00", "USD", None),
            ("1e3", "USD", None),
            (".50", "USD", None),
            ("1,50", "USD", None),
            ("9999999999999.00", "USD", None),
            ("1.00", "usd", None),
            ("1.00", "US", None),
            ("1.00", "saved, x", None),
        ] {
            assert_eq!(minor_units(amount, currency), expected, "{amount} {currency}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_reads_back(units in 0i64..100_000_000_000) {
            let written = format!("{}.{:02}", units / 100, units % 100);
            prop_assert_eq!(minor_units(&written, "USD"), Some(units));
        }

        #[test]
        fn no_text_is_a_panic(amount in ".{0,30}", currency in ".{0,4}") {
            let _amount = minor_units(&amount, &currency);
        }
    }
}
