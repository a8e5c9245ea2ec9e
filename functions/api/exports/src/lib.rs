//! What was put together about a person, fetched by a link that works for a few minutes. Without a session: the link is all
//! that is asked for, and all that is needed. Making links is `api/requests`'.

use storeward_core::export_page;
use storeward_core::personal::Personal;
use storeward_host::{Context, Download, Function, HostError, Setting, download};

/// The function's only route. Anyone may call it.
pub const ROUTES: &[&str] = &["GET /v1/exports/{token}"];

/// The function.
pub const FUNCTION: Function = Function {
    name: "api/exports",
    needs: &[&Setting::STORE, &[Setting::Log]],
    run: |ctx, invocation| Box::pin(download(ctx, invocation, "api/exports", fetch)),
};

async fn fetch(ctx: &Context, name: String) -> Result<Option<Download>, HostError> {
    let Some((token, form @ ("json" | "html"))) = name.rsplit_once('.') else { return Ok(None) };
    let Some(export) = ctx.store().await?.follow_link(token).await? else { return Ok(None) };
    let document = export.document();
    Ok(Some(if form == "json" {
        let text = serde_json::to_string_pretty(document.expose());
        let text = text.map_err(|_| HostError::Secret("a document that cannot be written"))?;
        Download {
            content_type: "application/json",
            file_name: "subject-export.json",
            policy: "default-src 'none'; frame-ancestors 'none'; sandbox",
            text: Personal::new(text),
        }
    } else {
        Download {
            content_type: "text/html; charset=utf-8",
            file_name: "subject-export.html",
            policy: export_page::POLICY,
            text: export_page::page(&document),
        }
    }))
}
