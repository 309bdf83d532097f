//! One request for a file or the rest of it.

use std::io::ErrorKind;
use std::time::Duration;

use foveate::{Error, Result};
use ureq::http::{HeaderMap, header};
use ureq::{Agent, BodyReader};

use super::partial::Version;
use super::variable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may be silent, in seconds, if `FOVEATE_TIMEOUT` does not say.
const IDLE_SECONDS: u64 = 30;

/// Why a request failed.
#[derive(Debug)]
pub enum Fault {
    /// It may go better next time.
    Again(String),
    /// The part that is here does not belong to the file that the server has now.
    Changed(String),
    /// It will not go better.
    Final(String),
}

/// What a server sends.
pub struct Answer {
    /// The file that it is of.
    pub version: Version,
    /// The byte that the body begins at.
    pub start: u64,
    /// The bytes from there on.
    pub body: BodyReader<'static>,
}

/// A client for an address. Redirects from https lead to https only; proxies come from the
/// environment.
pub fn agent(url: &str) -> Result<Agent> {
    let seconds = match variable("FOVEATE_TIMEOUT") {
        None => IDLE_SECONDS,
        Some(text) => text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)).ok_or_else(|| {
            Error::argument(format!("FOVEATE_TIMEOUT is {text:?}; it must be a number of seconds, 1 to 86400"))
        })?,
    };
    let idle = Some(Duration::from_secs(seconds));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(url.starts_with("https://"))
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(idle)
        .timeout_per_read(idle)
        .timeout_per_write(idle)
        .user_agent(concat!("foveate/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(config.into())
}

/// Asks for a file, or for what follows the `have` bytes of a version that are here.
pub fn get(agent: &Agent, url: &str, have: Option<&(u64, Version)>) -> Result<Answer, Fault> {
    // Bytes are counted, hashed and resumed as they are stored: no compression on the way.
    let mut request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    if let Some((bytes, version)) = have {
        request = request.header(header::RANGE, format!("bytes={bytes}-"));
        if let Some(validator) = version.validator() {
            request = request.header(header::IF_RANGE, validator);
        }
    }
    let response = request.call().map_err(fault)?;
    let (parts, body) = response.into_parts();
    let text = |name: header::HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    status(parts.status.as_u16(), have.is_some())?;
    if let Some(coding) = text(header::CONTENT_ENCODING).filter(|coding| coding != "identity") {
        return Err(Fault::Final(format!("the server sends it compressed ({coding}) though it was asked not to")));
    }
    if text(header::CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html")) {
        return Err(Fault::Final(WEB_PAGE.into()));
    }
    let (start, total) = match parts.status.as_u16() {
        206 => content_range(&parts.headers)
            .ok_or_else(|| Fault::Changed("the server sends a part of the file but does not say which".into()))?,
        _ => (0, body.content_length()),
    };
    let version =
        Version { url: url.to_owned(), etag: text(header::ETAG), last_modified: text(header::LAST_MODIFIED), total };
    if let Some((bytes, known)) = have.filter(|_| start > 0) {
        if start != *bytes {
            return Err(Fault::Changed(format!("the server sends bytes from {start}, not from {bytes}")));
        }
        if !known.agrees(&version) {
            return Err(Fault::Changed("the file on the server is another one than before".into()));
        }
    }
    Ok(Answer { version, start, body: body.into_reader() })
}

/// What a network's log-in page, or a publisher's error page, is.
pub const WEB_PAGE: &str = "the answer is a web page, not the file (does this network want a log-in first?)";

/// Whether a status is good; `resumed` if a part was asked for.
fn status(status: u16, resumed: bool) -> Result<(), Fault> {
    match status {
        200 => Ok(()),
        206 if resumed => Ok(()),
        416 if resumed => Err(Fault::Changed("the server's file is shorter than what is here".into())),
        404 | 410 => Err(Fault::Final(format!("the server has no such file (HTTP {status}); was it moved?"))),
        401 | 403 | 407 => Err(Fault::Final(format!("the server refuses it (HTTP {status})"))),
        408 | 425 | 429 | 500 | 502 | 503 | 504 => Err(Fault::Again(format!("the server fails (HTTP {status})"))),
        _ => Err(Fault::Final(format!("the server answers with HTTP {status}"))),
    }
}

/// First byte and size of the whole of `bytes FIRST-LAST/TOTAL`, where `*` is an unknown total.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

/// A failed request, by whether it is worth another try.
fn fault(error: ureq::Error) -> Fault {
    match error {
        ureq::Error::Timeout(_) => Fault::Again(error.to_string()),
        ureq::Error::Io(error) => io_fault(&error),
        ureq::Error::HostNotFound => Fault::Final("there is no such host, or no network".into()),
        ureq::Error::RequireHttpsOnly(_) => Fault::Final("it leads from https to an address without encryption".into()),
        other => Fault::Final(other.to_string()),
    }
}

fn io_fault(error: &std::io::Error) -> Fault {
    // Names that cannot be looked up have no kind of their own: Unix's resolver speaks in words (and
    // may be busy for a while), Windows in WSAHOST_NOT_FOUND.
    let words = error.to_string();
    let unknown = words.contains("failed to lookup address") && !words.contains("Temporary");
    if unknown || (cfg!(windows) && error.raw_os_error() == Some(11001)) {
        return Fault::Final(format!("{words}; is there a network?"));
    }
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable
        | ErrorKind::PermissionDenied => Fault::Final(words),
        _ => Fault::Again(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(of("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(of("bytes 5-9/*"), Some((5, None)));
        for bad in ["bytes */10", "bytes 9-5/10", "bytes 5-10/10", "bytes -5/10", "items 5-9/10", "bytes 5-9", ""] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(of("bytes 18446744073709551616-18446744073709551617/*"), None);
    }

    #[test]
    fn statuses() {
        assert!(status(200, false).is_ok() && status(206, true).is_ok());
        assert!(matches!(status(206, false), Err(Fault::Final(_))), "nobody asked for a part");
        assert!(matches!(status(416, true), Err(Fault::Changed(_))));
        assert!(matches!(status(503, false), Err(Fault::Again(_))));
        assert!(matches!(status(404, false), Err(Fault::Final(_))));
        assert!(matches!(status(302, false), Err(Fault::Final(_))));
    }
}
