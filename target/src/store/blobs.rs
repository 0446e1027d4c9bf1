//! Files by content: uploads that resume, and blobs that never change.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use trt_wire::BlobId;

use super::{Result, Store, StoreError, durable};

impl Store {
    /// Where a complete blob is.
    pub fn blob_path(&self, blob: BlobId) -> PathBuf {
        let name = blob.full();
        self.root.join("blobs").join(&name[..2]).join(name)
    }

    /// Whether the blob is here, complete.
    pub fn has_blob(&self, blob: BlobId) -> bool {
        self.blob_path(blob).is_file()
    }

    /// How many bytes of a blob an interrupted upload left here.
    pub fn partial_len(&self, blob: BlobId) -> u64 {
        fs::metadata(self.partial_path(blob)).map_or(0, |meta| meta.len())
    }

    fn partial_path(&self, blob: BlobId) -> PathBuf {
        self.root.join("partial").join(blob.full())
    }

    /// Starts or continues an upload; `offset` must be what [`Store::partial_len`] says.
    pub fn upload(&self, blob: BlobId, size: u64, offset: u64) -> Result<Upload> {
        let path = self.partial_path(blob);
        let file = File::options().create(true).read(true).append(true).open(&path);
        let mut file = file.map_err(StoreError::io(&path))?;
        let mut hasher = blake3::Hasher::new();
        let have = hash_into(&mut file, &mut hasher).map_err(StoreError::io(&path))?;
        if have > size {
            // Whatever this is, it is not the beginning of that blob.
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        if have != offset || have > size {
            return Err(StoreError::Offset { offset, have });
        }
        Ok(Upload { blob, size, received: have, path, file, hasher, target: self.blob_path(blob) })
    }

    /// Puts a blob under the name the model knows it by, without copying it.
    pub fn link_blob(&self, blob: BlobId, to: &Path) -> Result<()> {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(StoreError::io(parent))?;
        }
        fs::hard_link(self.blob_path(blob), to).map_err(StoreError::io(to))
    }
}

/// A blob that is arriving.
#[derive(Debug)]
pub struct Upload {
    blob: BlobId,
    size: u64,
    received: u64,
    path: PathBuf,
    target: PathBuf,
    file: File,
    hasher: blake3::Hasher,
}

impl Upload {
    /// Adds the next piece. What was written stays for a resumed upload if a later piece fails.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        let got = self.received + piece.len() as u64;
        if got > self.size {
            return Err(StoreError::Size { got, want: self.size });
        }
        self.file.write_all(piece).map_err(StoreError::io(&self.path))?;
        self.hasher.update(piece);
        self.received = got;
        Ok(())
    }

    /// Checks the hash and makes the blob durable. Bytes with another hash are discarded.
    pub fn finish(self) -> Result<BlobId> {
        if self.received != self.size {
            return Err(StoreError::Size { got: self.received, want: self.size });
        }
        let got = BlobId::from_bytes(*self.hasher.finalize().as_bytes());
        if got != self.blob {
            fs::remove_file(&self.path).map_err(StoreError::io(&self.path))?;
            return Err(StoreError::Hash { got, want: self.blob });
        }
        let commit = || {
            durable::set_mode(&self.path, 0o444)?;
            self.file.sync_all()?;
            self.target.parent().map_or(Ok(()), durable::create_dir)?;
            durable::rename(&self.path, &self.target)
        };
        commit().map_err(StoreError::io(&self.target))?;
        Ok(got)
    }
}

fn hash_into(file: &mut File, hasher: &mut blake3::Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(total);
        }
        hasher.update(&buffer[..read]);
        total += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn an_upload_cut_anywhere_continues_where_it_stopped() {
        let data: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
        let blob = BlobId::of(&data);
        for cut in [0, 1, 500, 999] {
            let (_dir, store) = store();
            store.upload(blob, 1000, 0).unwrap().write(&data[..cut]).unwrap();
            let have = store.partial_len(blob);
            assert_eq!(have, cut as u64);
            let mut upload = store.upload(blob, 1000, have).unwrap();
            upload.write(&data[cut..]).unwrap();
            assert_eq!(upload.finish().unwrap(), blob);
            assert_eq!(fs::read(store.blob_path(blob)).unwrap(), data);
            assert_eq!(store.partial_len(blob), 0);
        }
    }

    #[test]
    fn bytes_with_another_hash_are_discarded() {
        let (_dir, store) = store();
        let blob = BlobId::of(b"right");
        let mut upload = store.upload(blob, 5, 0).unwrap();
        upload.write(b"wrong").unwrap();
        assert!(matches!(upload.finish(), Err(StoreError::Hash { .. })));
        assert!(!store.has_blob(blob));
        assert_eq!(store.partial_len(blob), 0);
    }

    #[test]
    fn too_many_too_few_and_misplaced_bytes_are_refused() {
        let (_dir, store) = store();
        let blob = BlobId::of(b"12345");
        let mut upload = store.upload(blob, 5, 0).unwrap();
        assert!(matches!(upload.write(b"123456"), Err(StoreError::Size { got: 6, want: 5 })));
        upload.write(b"123").unwrap();
        assert!(matches!(upload.finish(), Err(StoreError::Size { got: 3, want: 5 })));
        assert!(matches!(store.upload(blob, 5, 0), Err(StoreError::Offset { offset: 0, have: 3 })));
    }
}
