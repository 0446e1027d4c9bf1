//! What a GPU must do for us, with the driver that the loader finds.

use std::sync::Arc;

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
    let stream = Arc::new(Stream::new(&context)?);
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

    #[cfg(feature = "kernels")]
    kernels(&context, &stream)?;

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

/// Counts two batches, preprocesses a picture and reduces a buffer. What comes of it is for `cuda_bench --check` to judge,
/// where there is a GPU: kernels of the stub do nothing.
#[cfg(feature = "kernels")]
fn kernels(context: &Context, stream: &Arc<Stream>) -> Result<(), DriverError> {
    use trt_cuda::{Canvas, Counter, Floats, GreatestMagnitude, Placed, Preprocessor, Tap, Taps, Upload};

    let mut values = Buffer::new(context, 4096)?;
    values.fill_in(stream, 0)?;
    let mut counter = Counter::new(stream, 2)?;
    let mut receipt = counter.receipt()?;
    for _ in 0..2 {
        counter.count(&[(1, Floats::of(&values, 0, 1024, false)?)], true, &mut receipt)?;
    }
    assert_eq!(receipt.wait()?.len(), 2);
    let counts = counter.read()?;
    assert!(counts.len() == 2 && counts[0].bins.is_empty() && counts[0].max == f32::NEG_INFINITY);
    for (skipped, len, half) in [(1, 1024, false), (1, 2048, true), (usize::MAX, 2, true)] {
        let outside = Floats::of(&values, skipped, len, half);
        assert!(matches!(outside, Err(DriverError::Length { device: 4096, .. })), "{outside:?}");
    }
    assert_eq!(Floats::of(&values, 1, 2047, true)?.bytes(), 4094);
    // SAFETY: it is refused for its length, and nobody reads it.
    let long = unsafe { Floats::from_raw(stream, values.as_raw(), 1 << 32, true) };
    let refused = counter.count(&[(0, long)], true, &mut receipt);
    assert_eq!(refused, Err(DriverError::TooLong { values: 1 << 32 }));
    let other = Stream::new(context)?;
    // SAFETY: the buffer has so many, and is freed last.
    let elsewhere = unsafe { Floats::from_raw(&other, values.as_raw(), 4, false) };
    let one = Floats::of(&values, 0, 4, false)?;
    for wrong in [&[(0, elsewhere)][..], &[(2, one)], &[(1, one), (1, one)]] {
        let count = std::panic::AssertUnwindSafe(|| counter.count(wrong, true, &mut receipt));
        assert!(std::panic::catch_unwind(count).is_err(), "{wrong:?}");
    }

    let mut reduction = GreatestMagnitude::new(context)?;
    reduction.run(stream, &values)?;
    assert_eq!(reduction.read(stream)?, 0.0);

    let tables = vec![[0.0; 256]; 3];
    let canvas = Canvas { width: 2, height: 1, swap: false, nhwc: false, pad: 0, tables };
    let preprocessor = Preprocessor::new(context, canvas)?;
    let one = |start| Tap { start, weights: [1 << 14, 0, 0] };
    let (columns, rows) =
        (Taps { bits: 14, taps: vec![one(0), one(1)] }, Taps { bits: 14, taps: vec![one(0)] });
    let pixels = [1, 2, 3, 4, 5, 6];
    let (columns, rows) = (&columns, &rows);
    let placed = Placed { pixels: &pixels, width: 2, height: 1, left: 0, top: 0, columns, rows };
    let mut upload = Upload::new(context)?;
    preprocessor.load(&mut upload, &[placed], stream)?;
    let mut out = Buffer::new(context, preprocessor.image_len())?;
    let short = preprocessor.run(&mut upload, stream, &mut Buffer::new(context, 4)?);
    assert_eq!(short, Err(DriverError::Length { device: 4, host: 24 }));
    preprocessor.run(&mut upload, stream, &mut out)?;
    stream.synchronize()
}
