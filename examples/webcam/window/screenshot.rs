//! Screenshots: drawn once more into a texture, and written by a thread of their own, so that the window does not wait.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use foveate::{Picture, wgpu};

/// As many as a folder may hold.
const MOST: u32 = 9999;

/// One is written at a time.
static WRITING: Mutex<()> = Mutex::new(());

/// A texture on its way to the program's memory.
pub struct Capture {
    device: wgpu::Device,
    buffer: wgpu::Buffer,
    width: u32,
    height: u32,
    /// Bytes from row to row.
    row: u32,
    /// Whether blue comes first.
    swapped: bool,
}

impl Capture {
    /// Begins to copy a texture of four bytes a pixel that was made with `COPY_SRC`.
    pub fn of(device: &wgpu::Device, queue: &wgpu::Queue, texture: &wgpu::Texture) -> Capture {
        let (width, height) = (texture.width(), texture.height());
        let row = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("screenshot"),
            size: u64::from(row) * u64::from(height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), to, texture.size());
        queue.submit([encoder.finish()]);
        let swapped = matches!(texture.format(), wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Bgra8UnormSrgb);
        Capture { device: device.clone(), buffer, width, height, row, swapped }
    }

    /// Waits for it and writes it under a name that is free.
    ///
    /// # Errors
    /// A sentence, if the device is lost or the folder cannot be written to.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, String> {
        let png = self.picture()?.to_png().map_err(|e| e.to_string())?;
        write_anew(folder, &png)
    }

    fn picture(&self) -> Result<Picture, String> {
        let (sent, mapped) = std::sync::mpsc::channel();
        self.buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = sent.send(result);
        });
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| e.to_string())?;
        mapped.recv().map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        let bytes = self.buffer.get_mapped_range(..).map_err(|e| e.to_string())?;
        let rows = bytes.chunks_exact(self.row as usize).flat_map(|row| &row[..self.width as usize * 4]);
        let mut rgba: Vec<u8> = rows.copied().collect();
        for pixel in rgba.as_chunks_mut::<4>().0 {
            if self.swapped {
                pixel.swap(0, 2);
            }
            pixel[3] = 255;
        }
        Picture::from_rgba(self.width, self.height, rgba).map_err(|e| e.to_string())
    }
}

/// Writes a file under the first free name: beside its place first, and linked there, which never replaces a file.
fn write_anew(folder: &Path, png: &[u8]) -> Result<PathBuf, String> {
    let advice = "choose another folder with --screenshots";
    let fail = |path: &Path, e: std::io::Error| format!("cannot write {}: {e}; {advice}", path.display());
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let part = folder.join(format!(".foveate-{}.part", std::process::id()));
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(&part);
    let written = written.and_then(|mut file: File| file.write_all(png));
    let placed = written.map_err(|e| fail(&part, e)).and_then(|()| {
        for number in 1..=MOST {
            let path = folder.join(format!("foveate-{number:04}.png"));
            match place(&part, &path) {
                Ok(()) => return Ok(path),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(fail(&path, e)),
            }
        }
        Err(format!("{} holds {MOST} screenshots already; {advice}", folder.display()))
    });
    // Its other name stays.
    let _ = std::fs::remove_file(&part);
    placed
}

/// Gives a file its name, if that is free. Some file systems know no links.
fn place(part: &Path, path: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(part, path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists && !path.exists() => std::fs::rename(part, path),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screenshots_take_the_next_free_name_and_leave_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("foveate-0001.png"), b"kept").unwrap();
        let second = write_anew(folder.path(), b"new").unwrap();
        let third = write_anew(folder.path(), b"newer").unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!((second, third), (folder.path().join("foveate-0002.png"), folder.path().join("foveate-0003.png")));
        assert_eq!([read("foveate-0001.png"), read("foveate-0002.png")], [b"kept".to_vec(), b"new".to_vec()]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        let missing = folder.path().join("missing");
        assert!(write_anew(&missing, b"").unwrap_err().contains("--screenshots"));
    }

    #[test]
    fn a_texture_comes_back_as_it_was() {
        let Some((_, context)) = crate::device::for_tests() else { return };
        let (device, queue) = (context.device(), context.queue());
        let descriptor = |format| wgpu::TextureDescriptor {
            label: None,
            // Rows that are not whole multiples of what copies are aligned to.
            size: wgpu::Extent3d { width: 3, height: 2, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        };
        let pixels: Vec<u8> = (0..24).map(|i| if i % 4 == 3 { 9 } else { i }).collect();
        for (format, wanted) in
            [(wgpu::TextureFormat::Rgba8Unorm, [4, 5, 6, 255]), (wgpu::TextureFormat::Bgra8Unorm, [6, 5, 4, 255])]
        {
            let texture = device.create_texture(&descriptor(format));
            let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(12), rows_per_image: None };
            queue.write_texture(texture.as_image_copy(), &pixels, layout, texture.size());
            let picture = Capture::of(device, queue, &texture).picture().unwrap();
            assert_eq!((picture.width(), picture.height(), &picture.rgba()[4..8]), (3, 2, &wanted[..]));
        }
    }
}
