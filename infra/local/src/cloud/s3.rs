//! S3 on one machine, as far as a vault needs it: objects are put once and read, in memory or in files. What is there
//! cannot be replaced or deleted, as under Object Lock in compliance mode; there are no versions, lists or policies.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

/// The buckets. Clones share them.
#[derive(Clone)]
pub struct S3(Arc<Kept>);

enum Kept {
    Memory(Mutex<BTreeMap<String, Bytes>>),
    Files(PathBuf),
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").finish_non_exhaustive()
    }
}

impl S3 {
    /// Buckets that are gone with the process.
    #[must_use]
    pub fn memory() -> Self {
        Self(Arc::new(Kept::Memory(Mutex::default())))
    }

    /// Buckets in a directory: a directory each, a file for each object.
    #[must_use]
    pub fn open(directory: &Path) -> Self {
        Self(Arc::new(Kept::Files(directory.to_owned())))
    }

    /// Whether a request is for S3: what it is signed for says so.
    #[must_use]
    pub fn owns(headers: &HeaderMap) -> bool {
        let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        signed.is_some_and(|signed| signed.contains("/s3/aws4_request"))
    }

    /// Answers one request; the path is `/bucket/key`.
    #[must_use]
    pub fn call(&self, method: &Method, path: &str, headers: &HeaderMap, body: &Bytes) -> Response<Bytes> {
        let plain = |part: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
        };
        let name = path.trim_start_matches('/');
        if name.split('/').count() < 2 || !name.split('/').all(plain) {
            return fault(StatusCode::BAD_REQUEST, "InvalidURI");
        }
        let done = match *method {
            Method::GET => self.get(name).map(|found| match found {
                Some(object) => Response::new(object),
                None => fault(StatusCode::NOT_FOUND, "NoSuchKey"),
            }),
            Method::PUT if !headers.contains_key("x-amz-checksum-sha256") => {
                // A bucket with Object Lock wants to know that what arrived is what was sent.
                Ok(fault(StatusCode::BAD_REQUEST, "InvalidRequest"))
            }
            Method::PUT => self.put(name, body).map(|new| {
                let conflict = || fault(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
                if new { Response::new(Bytes::new()) } else { conflict() }
            }),
            _ => Ok(fault(StatusCode::FORBIDDEN, "AccessDenied")),
        };
        done.unwrap_or_else(|_: std::io::Error| fault(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"))
    }

    fn get(&self, name: &str) -> std::io::Result<Option<Bytes>> {
        match &*self.0 {
            Kept::Memory(objects) => {
                Ok(objects.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
            }
            Kept::Files(directory) => match std::fs::read(directory.join(name)) {
                Ok(object) => Ok(Some(object.into())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    fn put(&self, name: &str, body: &Bytes) -> std::io::Result<bool> {
        match &*self.0 {
            Kept::Memory(objects) => {
                let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
                if objects.contains_key(name) {
                    return Ok(false);
                }
                objects.insert(name.to_owned(), body.clone());
                Ok(true)
            }
            Kept::Files(directory) => {
                let file = directory.join(name);
                if let Some(parent) = file.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                if file.exists() {
                    return Ok(false);
                }
                // Whole or not at all, whenever the process ends.
                let being_written = file.with_extension("part");
                std::fs::write(&being_written, body)?;
                std::fs::rename(being_written, file)?;
                Ok(true)
            }
        }
    }

    /// Every object in memory, by `bucket/key`: for tests to look at.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        match &*self.0 {
            Kept::Memory(objects) => objects.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Kept::Files(_) => BTreeMap::new(),
        }
    }
}

fn fault(status: StatusCode, code: &str) -> Response<Bytes> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_put_once_read_and_never_replaced_or_deleted() {
        let directory = tempfile::tempdir().unwrap();
        for s3 in [S3::memory(), S3::open(directory.path())] {
            let mut headers = HeaderMap::new();
            let mut call = |method, path: &str, body: &'static str, checksum| {
                if checksum {
                    headers.insert("x-amz-checksum-sha256", HeaderValue::from_static("test"));
                }
                let answer = s3.call(&method, path, &headers, &Bytes::from_static(body.as_bytes()));
                (answer.status().as_u16(), answer.into_body())
            };
            assert_eq!(call(Method::PUT, "/roots/a/1.json", "one", false).0, 400);
            assert_eq!(call(Method::GET, "/roots/a/1.json", "", false).0, 404);
            assert_eq!(call(Method::PUT, "/roots/a/1.json", "one", true).0, 200);
            assert_eq!(call(Method::PUT, "/roots/a/1.json", "two", true).0, 412);
            assert_eq!(call(Method::DELETE, "/roots/a/1.json", "", true).0, 403);
            assert_eq!(call(Method::GET, "/roots/a/1.json", "", true), (200, Bytes::from_static(b"one")));
            for odd in ["/roots", "/roots/../kms.key", "/roots//a", "/roots/.part"] {
                assert_eq!(call(Method::GET, odd, "", true).0, 400, "{odd}");
            }
        }
    }
}
