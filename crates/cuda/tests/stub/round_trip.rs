//! What a GPU must do for us, with the driver that the loader finds.

use trt_cuda::{Buffer, Context, DriverError, Event, Stream, device};

const LEN: usize = 16 << 20;

/// Set where the result, a failure too, is for the eyes of another test.
pub const IS_CHILD: &str = "TRT_CUDA_CHILD";

/// On a machine with a GPU, a test of its own; the others run it again in processes with drivers of their making.
#[test]
fn the_gpu_of_this_machine_works() {
    let is_child = std::env::var_os(IS_CHILD).is_some();
    match round_trip() {
        Ok(text) => println!("{text}"),
        Err(error) if is_child => {
            eprintln!("error: {error}\nhint: {}", error.hint().unwrap_or_else(|| "none".to_owned()));
            std::process::exit(1);
        }
        Err(DriverError::NoLibrary | DriverError::NoDevice) => eprintln!("not tested: no GPU"),
        Err(error) => panic!("{error}"),
    }
}

/// Copies 16 MiB there and back twice, and says on what and how long it took.
fn round_trip() -> Result<String, DriverError> {
    let device = device()?;
    let context = Context::primary(0)?;
    let missing = Context::primary(1000).expect_err("nobody has a thousand GPUs");
    assert!(matches!(missing, DriverError::NoSuchDevice { ordinal: 1000, count: 1.. }), "{missing}");
    let before = context.memory()?;
    let stream = Stream::new(&context)?;
    let (start, end) = (Event::new(&context)?, Event::new(&context)?);
    let mut buffer = Buffer::new(&context, LEN)?;
    let mut empty = Buffer::new(&context, 0)?;
    assert!(!empty.as_raw().is_null() && empty.is_empty() && empty.as_raw() != buffer.as_raw());
    empty.write(&[])?;
    assert!(context.memory()?.free < before.free, "16 MiB are taken");

    let host: Vec<u8> = (0..LEN).map(|index| (index * 7 % 251) as u8).collect();
    let mut back = vec![0; LEN];
    buffer.write(&host)?;
    buffer.read(&mut back)?;
    assert!(back == host, "synchronous round trip");
    let lengths = [buffer.write(&host[1..]), buffer.read(&mut back[1..])];
    assert!(lengths.iter().all(|result| *result == Err(DriverError::Length { device: LEN, host: LEN - 1 })));

    let reversed: Vec<u8> = host.iter().rev().copied().collect();
    start.record(&stream)?;
    buffer.write(&reversed)?;
    buffer.read(&mut back)?;
    end.record(&stream)?;
    stream.synchronize()?;
    end.synchronize()?;
    assert!(back == reversed, "round trip between two events");

    // A thread that has never seen the context uses and drops what belongs to it.
    std::thread::scope(|scope| scope.spawn(move || buffer.read(&mut vec![0; LEN])).join())
        .expect("no panic")?;
    let ([driver_major, driver_minor], [major, minor]) = (device.driver_version, device.compute_capability);
    Ok(format!(
        "{}, compute capability {major}.{minor}, driver for CUDA {driver_major}.{driver_minor}; 16 MiB there and back: {:?}",
        device.name,
        end.since(&start)?
    ))
}
