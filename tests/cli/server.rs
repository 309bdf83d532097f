//! A small HTTP server for the tests of `pull`, that does what servers do, and what they should not.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request, as far as the tests look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How many came before.
    pub index: usize,
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
}

impl Request {
    /// The first byte that is asked for.
    fn from(&self) -> Option<usize> {
        self.range
            .as_ref()
            .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap())
    }
}

/// How the length of a body is told.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    True,
    Claimed(u64),
    /// The body ends when the connection does.
    Untold,
    Chunked,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub length: Length,
    /// The connection ends after so many bytes of the body.
    pub cut: Option<usize>,
    /// After the bytes that are sent, nothing happens for as long as the test runs.
    pub silent: bool,
}

impl Reply {
    pub fn new(status: u16, body: &[u8]) -> Self {
        Reply { status, headers: Vec::new(), body: body.to_vec(), length: Length::True, cut: None, silent: false }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    pub fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// What a sound server answers: the rest if that is asked for and the file is still the same, else
    /// the whole.
    pub fn file(request: &Request, body: &[u8], etag: &str) -> Self {
        let same = request.if_range.as_ref().is_none_or(|tag| tag == etag);
        match request.from().filter(|_| same) {
            Some(from) if from >= body.len() => {
                Reply::new(416, b"").header("Content-Range", format!("bytes */{}", body.len()))
            }
            Some(from) => Reply::part(body, from, etag),
            None => Reply::new(200, body).header("ETag", etag),
        }
    }

    /// The rest of a file from a byte on.
    pub fn part(body: &[u8], from: usize, etag: &str) -> Self {
        let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
        Reply::new(206, &body[from..]).header("Content-Range", range).header("ETag", etag)
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Test\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match self.length {
            Length::True => head += &format!("Content-Length: {}\r\n", self.body.len()),
            Length::Claimed(bytes) => head += &format!("Content-Length: {bytes}\r\n"),
            Length::Untold => {}
            Length::Chunked => head += "Transfer-Encoding: chunked\r\n",
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let body = &self.body[..self.cut.unwrap_or(self.body.len())];
        if !matches!(self.length, Length::Chunked) {
            return stream.write_all(body);
        }
        for chunk in body.chunks(100_000) {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        if self.cut.is_none() { stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }
}

/// A running server; it ends when it is dropped.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Starts one on a free port of this machine.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped, answer) = (requests.clone(), stop.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (log, stopped, answer) = (log.clone(), stopped.clone(), answer.clone());
                thread::spawn(move || {
                    // A client that goes away in the middle is one of the cases.
                    let _ = stream.and_then(|stream| serve(stream, &log, &stopped, &*answer));
                });
            }
        });
        Server { address, requests, stop }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the flag.
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    stopped: &AtomicBool,
    answer: &(impl Fn(&Request) -> Reply + ?Sized),
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let Some(path) = first.split(' ').nth(1) else { return Ok(()) };
    let (mut range, mut if_range) = (None, None);
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "if-range" => if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    let request = {
        let mut log = log.lock().unwrap();
        let request = Request { index: log.len(), path: path.to_owned(), range, if_range };
        log.push(request.clone());
        request
    };
    let reply = answer(&request);
    reply.send(&mut stream)?;
    while reply.silent && !stopped.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
