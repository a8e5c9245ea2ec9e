//! What was put together about a person, fetched by a link that works for a few minutes. Without a session: the link is all
//! that is asked for, and all that is needed. Making links is `api/requests`'.

use storeward_core::export_page;
use storeward_core::personal::Personal;
use storeward_host::{Context, Download, Function, HostError, Setting, download};

/// The function's only route. Anyone may call it.
pub const ROUTES: &[&str] = &[ROUTE];

const ROUTE: &str = "GET /v1/exports/{token}";

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/exports",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(download(ctx, invocation, "api/exports", ROUTE, fetch)),
};

/// What a path names: the link's token, and which piece of the document. The first piece has no number, the others have
/// theirs behind the token, each in one spelling alone.
fn named(path: &str) -> Option<(&str, usize)> {
    let Some((token, digits)) = path.split_once('.') else { return Some((path, 1)) };
    let piece = digits.parse().ok().filter(|piece: &usize| *piece > 1 && piece.to_string() == digits)?;
    Some((token, piece))
}

async fn fetch(ctx: &Context, name: String) -> Result<Option<Download>, HostError> {
    let Some((path, form @ ("json" | "html"))) = name.rsplit_once('.') else { return Ok(None) };
    let Some((token, piece)) = named(path) else { return Ok(None) };
    let Some(of) = ctx.store().await?.follow_link(token, piece).await? else { return Ok(None) };
    let document = of.export.document();
    let number = if of.export.pieces > 1 { format!("-{piece}") } else { String::new() };
    let file_name = format!("subject-export{number}.{form}");
    Ok(Some(if form == "json" {
        let text = serde_json::to_string_pretty(document.expose());
        let text = text.map_err(|_| HostError::Secret("a document that cannot be written"))?;
        Download {
            of,
            content_type: "application/json",
            file_name,
            policy: "default-src 'none'; frame-ancestors 'none'; sandbox",
            text: Personal::new(text),
        }
    } else {
        Download {
            of,
            content_type: "text/html; charset=utf-8",
            file_name,
            policy: export_page::POLICY,
            text: export_page::page(&document),
        }
    }))
}
