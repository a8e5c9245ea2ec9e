use proptest::prelude::*;

use super::to_text;

fn text(html: &str) -> String {
    to_text(html, 10_000).0
}

#[test]
fn blocks_are_lines_and_white_space_is_one_space() {
    assert_eq!(text("<p>One\n  two</p><p>three<br>four</p>"), "One two\n\nthree\nfour");
    assert_eq!(text("<div>a</div><div><div>b</div></div>c"), "a\nb\nc");
    assert_eq!(text("<ul><li>a<li>b</ul>"), "- a\n- b");
    assert_eq!(text("<table><tr><td>a<td>b<tr><td>c</table>"), "a b\nc");
    assert_eq!(text("<pre>a\n  b</pre>"), "a\nb");
    assert_eq!(text("x &amp; y &lt;z&gt; &euro;5&nbsp;&#8211;"), "x & y <z> €5 –");
    assert_eq!(text("no tags"), "no tags");
}

#[test]
fn what_is_not_shown_is_not_text() {
    for hidden in [
        "<script>CANARY</script>",
        "<style>.a{CANARY}</style>",
        "<title>CANARY</title>",
        "<!-- CANARY -->",
        "<div hidden>CANARY</div>",
        "<div style='display: none !important'>CANARY</div>",
        "<span style='DISPLAY:NONE'><b>CANARY</b></span>",
        "<p style='visibility:hidden'>CANARY</p>",
        "<p style='mso-hide:all'>CANARY</p>",
        "<p style='font-size:0px'>CANARY</p>",
        "<p style='font-size:1px'>CANARY</p>",
        "<p style='opacity:0'>CANARY</p>",
        "<p style='max-height:0;overflow:hidden'>CANARY</p>",
        "<p style='text-indent:-9999px'>CANARY</p>",
        "<p style='color:#fff'>CANARY</p>",
        "<p style='color:#ffffff;background-color:white'>CANARY</p>",
        "<font color=white>CANARY</font>",
        "<table bgcolor='#333333'><tr><td style='color:rgb(51, 51, 51)'>CANARY</table>",
        "<template>CANARY</template>",
        "<svg><text>CANARY</text></svg>",
        "\u{e0043}\u{e0041}",
    ] {
        assert_eq!(text(&format!("<p>seen</p>{hidden}<p>seen too</p>")), "seen\n\nseen too", "{hidden}");
    }
}

#[test]
fn what_is_shown_stays() {
    for shown in [
        "<p style='font-size:0.9em'>SHOWN</p>",
        "<p style='height:0'>SHOWN</p>",
        "<p style='color:#fff;background:#333'>SHOWN</p>",
        "<table bgcolor=navy><tr><td><font color=white>SHOWN</font></table>",
        "<div class=dark><font color=white>SHOWN</font></div>",
        "<p style='color:black'>SHOWN</p>",
        "<div hidden></div><p>SHOWN</p>",
        "<td><div style='display:none'>x</td><td>SHOWN</td>",
        "<head><meta charset=utf-8><body>SHOWN",
        "<p style='opacity:0.9;margin-left:-5px'>SHOWN</p>",
    ] {
        assert!(text(shown).ends_with("SHOWN"), "{shown}: {}", text(shown));
    }
}

#[test]
fn a_link_is_told_with_its_address_unless_that_is_its_text() {
    assert_eq!(text("<a href='https://example.com/a'>here</a>!"), "here <https://example.com/a>!");
    assert_eq!(text("<a href='https://example.com/'>example.com</a>"), "example.com");
    assert_eq!(text("<a href='mailto:a@example.com'>a@example.com</a>"), "a@example.com");
    assert_eq!(text("<a href='javascript:alert(1)'>x</a>"), "x");
    assert_eq!(text("<a href='https://example.com/a'><img src=x alt=logo></a>y"), "y");
    assert_eq!(text("<img alt='🙂'>"), "🙂");
}

#[test]
fn what_mail_programs_quote_is_marked_as_quoted() {
    assert_eq!(
        text("mine<blockquote>theirs<blockquote>older</blockquote></blockquote>mine"),
        "mine\n> theirs\n> > older\nmine"
    );
    assert_eq!(
        text("a<div class=gmail_attr>Jemand schrieb:<br></div><blockquote>b</blockquote>"),
        "a\n> Jemand schrieb:\n> b"
    );
    assert_eq!(
        text("a<div class=gmail_attr>---------- Forwarded message ---------<br>From: b</div>c"),
        "a\n---------- Forwarded message ---------\nFrom: b\nc"
    );
    assert_eq!(text("a<div id=x_divRplyFwdMsg>Kimden: b</div>"), "a\n-----Original Message-----\nKimden: b");
    assert_eq!(text("a<div class='ydp1yahoo_quoted'>b</div>"), "a\n> b");
}

#[test]
fn tags_that_never_end_cost_no_more_than_their_length() {
    // What is counted is the text: it is all there, and none of it twice.
    let many = "<b><i x=1><p><div>".repeat(50_000);
    assert_eq!(text(&format!("{many}end")), "end");
    let ends = format!("{}{}end", "<div>".repeat(1000), "</span>".repeat(50_000));
    assert_eq!(text(&ends), "end");
    let (long, cut) = to_text(&"<p>word".repeat(10_000), 1000);
    assert!(cut && long.len() <= 1004);
}

proptest! {
    #[test]
    fn no_tags_make_it_panic_and_text_without_any_stays(
        words in prop::collection::vec("[a-z<>/=\"'! &;#-]{0,12}|<(p|a|td|div|blockquote|/p|/td|/div|br)>", 0..60),
        plain in "[a-z]{1,8}( [a-z]{1,8}){0,10}",
    ) {
        let (out, _) = to_text(&words.concat(), 300);
        prop_assert!(out.len() < 320);
        prop_assert_eq!(text(&plain), plain);
    }
}
