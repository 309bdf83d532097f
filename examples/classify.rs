//! From a picture to labels: `cargo run --release --example classify -- PICTURE`.

use foveate::{Picture, Result, Session};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "assets/cat.png".into());
    pollster::block_on(async {
        let mut session = Session::builder().load().await?;
        let answer = session.run(&Picture::open(&path)?).await?;
        println!("on {}:", session.device());
        for top in answer.top(5) {
            println!("{:5.1} %  {}", top.score * 100.0, top.label);
        }
        Ok(())
    })
}
