//! `cargo run --example features -- [PICTURE [CHECKPOINT]]`: the maps that detection and
//! segmentation heads take.

use foveate::{Picture, Session};

fn main() -> foveate::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let picture = Picture::open(arguments.next().unwrap_or_else(|| "assets/coffee.jpg".into()))?;
    let mut builder = Session::builder().stage_features().input_size(320, 480);
    if let Some(checkpoint) = arguments.next() {
        builder = builder.file(checkpoint);
    }
    pollster::block_on(async {
        let mut session = builder.load().await?;
        let features = session.features(&picture).await?;
        for stride in [1, 2, 4, 8, 16, 32] {
            if let Some(map) = features.at_stride(stride) {
                println!("stride {stride:2}: {:?} from {}", map.tensor().shape(), map.node());
            }
        }
        Ok(())
    })
}
