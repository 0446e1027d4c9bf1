//! What kind of file a library is, where the loader says no more than "no such file".

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The first bytes of an ELF file: identification, type and machine.
const HEADER: usize = 20;

/// The number and name of the processor that this program is compiled for.
pub const HERE: (u16, &str) = if cfg!(target_arch = "aarch64") { (183, "AArch64") } else { (62, "x86-64") };

/// What a file is to the loader of this program.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 64-bit ELF file for this processor.
    Native,
    /// An ELF file for another processor, which is named.
    Foreign(String),
    /// Something else, or an ELF file that ends within its header.
    Other,
}

/// Reads the header; `None` if the file cannot be read.
pub fn kind(path: &Path) -> Option<Kind> {
    let mut header = Vec::with_capacity(HEADER);
    File::open(path).ok()?.take(HEADER as u64).read_to_end(&mut header).ok()?;
    Some(of_header(&header))
}

fn of_header(header: &[u8]) -> Kind {
    let [0x7f, b'E', b'L', b'F', class, order, _, _, _, _, _, _, _, _, _, _, _, _, low, high] = *header
    else {
        return Kind::Other;
    };
    let machine = if order == 2 { u16::from_be_bytes([low, high]) } else { u16::from_le_bytes([low, high]) };
    match (machine, class) {
        (machine, 2) if machine == HERE.0 => Kind::Native,
        (62, _) => Kind::Foreign("x86-64".into()),
        (183, _) => Kind::Foreign("AArch64".into()),
        (3, _) => Kind::Foreign("32-bit x86".into()),
        (40, _) => Kind::Foreign("32-bit Arm".into()),
        (other, _) => Kind::Foreign(format!("ELF machine {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(class: u8, order: u8, machine: [u8; 2]) -> Vec<u8> {
        [&[0x7f, b'E', b'L', b'F', class, order][..], &[0; 12], &machine].concat()
    }

    #[test]
    fn headers_tell_processors_apart() {
        let here = HERE.0.to_le_bytes();
        let cases = [
            (header(2, 1, here), Kind::Native),
            (header(2, 1, [40, 0]), Kind::Foreign("32-bit Arm".into())),
            (header(1, 1, [3, 0]), Kind::Foreign("32-bit x86".into())),
            (header(2, 2, [0, 21]), Kind::Foreign("ELF machine 21".into())),
            (header(2, 1, here)[..19].to_vec(), Kind::Other),
            (b"not a library at all".to_vec(), Kind::Other),
            (vec![], Kind::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(of_header(&bytes), expected, "{bytes:?}");
        }
        assert_eq!(kind(&std::env::current_exe().unwrap()), Some(Kind::Native));
        assert_eq!(kind("/nowhere/libnvinfer.so.8".as_ref()), None);
    }
}
