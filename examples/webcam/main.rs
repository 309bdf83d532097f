//! What a camera sees, classified live in a window:
//! `cargo run --release --features webcam --example webcam`.
//!
//! Three threads: `feed` takes frames from a source and puts each on the GPU once, `classifier` runs the newest of
//! them, and the window draws the newest of them, on the same device and queue. Nobody waits for anybody: frames that
//! came too fast for one of them are dropped and counted. `--frames N` runs the same without a window.

mod args;
mod classifier;
mod device;
mod feed;
mod footprint;
mod frame;
mod headless;
mod latency;
mod models;
mod newest;
mod source;
mod textures;
mod window;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let done = match (args.list_cameras, args.frames) {
        (true, _) => list_cameras(),
        (false, Some(frames)) => headless::run(&args, frames),
        (false, None) => window::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn list_cameras() -> Result<(), String> {
    let cameras = source::cameras()?;
    if cameras.is_empty() {
        return Err("no camera was found".to_owned());
    }
    cameras.iter().for_each(|(number, name)| println!("camera:{number}  {name}"));
    Ok(())
}
