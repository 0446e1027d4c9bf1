//! Asks for the GPU, copies 16 MiB there and back in both ways, and times the copies: `cargo run -p trt-cuda --example
//! round_trip`. The tests run it on a stub of the driver; on a machine with a GPU it is a first check of this crate.

use trt_cuda::{Buffer, Context, DriverError, Event, Stream, device};

const LEN: usize = 16 << 20;

fn main() {
    if let Err(error) = round_trip() {
        eprintln!("error: {error}");
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
        std::process::exit(1);
    }
}

fn round_trip() -> Result<(), DriverError> {
    let device = device()?;
    let ([driver_major, driver_minor], [major, minor]) = (device.driver_version, device.compute_capability);
    println!(
        "{}, compute capability {major}.{minor}, driver for CUDA {driver_major}.{driver_minor}",
        device.name
    );
    let context = Context::primary(0)?;
    let before = context.memory()?;
    let stream = Stream::new(&context)?;
    let (start, end) = (Event::new(&context)?, Event::new(&context)?);
    let mut buffer = Buffer::new(&context, LEN)?;
    let empty = Buffer::new(&context, 0)?;
    assert!(!empty.as_raw().is_null() && empty.is_empty() && empty.as_raw() != buffer.as_raw());
    assert!(context.memory()?.free < before.free, "16 MiB are taken");

    let host: Vec<u8> = (0..LEN).map(|index| (index * 7 % 251) as u8).collect();
    let mut back = vec![0; LEN];
    buffer.write(&host)?;
    buffer.read(&mut back)?;
    assert!(back == host, "synchronous round trip");
    assert!(buffer.write(&host[1..]).is_err() && buffer.read(&mut back[1..]).is_err(), "lengths are checked");

    let reversed: Vec<u8> = host.iter().rev().copied().collect();
    start.record(&stream)?;
    // SAFETY: `reversed`, `back` and `buffer` outlive the `synchronize` below and are not touched before it.
    unsafe {
        buffer.write_async(&reversed, &stream)?;
        buffer.read_async(&mut back, &stream)?;
    }
    end.record(&stream)?;
    stream.synchronize()?;
    end.synchronize()?;
    assert!(back == reversed, "asynchronous round trip");

    // A thread that has never seen the context uses and drops what belongs to it.
    std::thread::scope(|scope| scope.spawn(move || buffer.read(&mut vec![0; LEN])).join())
        .expect("no panic")?;
    println!("16 MiB there and back: {:?}", end.since(&start)?);
    Ok(())
}
