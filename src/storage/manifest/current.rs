//! The file `CURRENT`, which names the manifest that counts.
//!
//! Its whole content is one line: `lightning manifest-NNNNNN cccccccc`, the last word being the CRC-32, in hex, of the
//! bytes before the space in front of it.

use crate::error::{Error, Result};
use crate::wal::corrupt;
use lightning_vfs::{OpenMode, Vfs};
use std::io;
use std::path::{Path, PathBuf};

const NAME: &str = "CURRENT";
const TEMPORARY: &str = "CURRENT.tmp";
/// More than the line ever has.
const BYTES_MAX: u64 = 256;

/// The path of manifest `number`.
pub(crate) fn manifest_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("manifest-{number:06}"))
}

/// The number of the manifest at `path`, if it is named like one.
pub(crate) fn manifest_number(path: &Path) -> Option<u64> {
    let number = path.file_name()?.to_str()?.strip_prefix("manifest-")?.parse().ok()?;
    (manifest_path(Path::new(""), number).as_os_str() == path.file_name()?).then_some(number)
}

fn line(number: u64) -> String {
    let named = format!("lightning manifest-{number:06}");
    let crc = crc32fast::hash(named.as_bytes());
    format!("{named} {crc:08x}\n")
}

fn parse(text: &str) -> Option<u64> {
    let number = text.split(' ').nth(1)?.strip_prefix("manifest-")?.parse().ok()?;
    (line(number) == text).then_some(number)
}

/// The number `CURRENT` names; `None` when there is no such file.
pub(crate) fn read_current(vfs: &dyn Vfs, dir: &Path) -> Result<Option<u64>> {
    let path = dir.join(NAME);
    let file = match vfs.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path, "open", e)),
    };
    let len = file.len().map_err(|e| Error::io(&path, "read", e))?;
    let mut bytes = vec![0; len.min(BYTES_MAX) as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|e| Error::io(&path, "read", e))?;
    match std::str::from_utf8(&bytes).ok().and_then(parse) {
        Some(number) => Ok(Some(number)),
        None => Err(corrupt(&path, 0, "it does not name a manifest, or its checksum fails")),
    }
}

/// How far [`replace_current`] got when it failed.
#[derive(Debug)]
pub(crate) enum ReplaceFailure {
    /// `CURRENT` is as before.
    NotReplaced(Error),
    /// Either name may be found after a crash.
    Unknown(Error),
}

/// Lets `CURRENT` name manifest `number`, which is complete and durable.
pub(crate) fn replace_current(vfs: &dyn Vfs, dir: &Path, number: u64) -> std::result::Result<(), ReplaceFailure> {
    let temporary = dir.join(TEMPORARY);
    let written = write_temporary(vfs, &temporary, &line(number));
    written.map_err(|e| ReplaceFailure::NotReplaced(Error::io(&temporary, "write", e)))?;
    let current = dir.join(NAME);
    let renamed = vfs.rename(&temporary, &current);
    renamed.map_err(|e| ReplaceFailure::Unknown(Error::io(&current, "replace", e)))?;
    vfs.sync_dir(dir).map_err(|e| ReplaceFailure::Unknown(Error::io(dir, "sync", e)))
}

fn write_temporary(vfs: &dyn Vfs, path: &Path, line: &str) -> io::Result<()> {
    remove_if_present(vfs, path)?;
    let file = vfs.open(path, OpenMode::CreateNew)?;
    file.write_all_at(line.as_bytes(), 0)?;
    file.sync()
}

/// Removes what a crash left beside the manifest that counts.
pub(crate) fn remove_leftovers(vfs: &dyn Vfs, dir: &Path, current: u64) -> Result<()> {
    let paths = vfs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let leftover = |path: &PathBuf| {
        manifest_number(path).is_some_and(|number| number != current) || path.file_name() == Some(TEMPORARY.as_ref())
    };
    for path in paths.iter().filter(|path| leftover(path)) {
        remove_if_present(vfs, path).map_err(|e| Error::io(path, "remove", e))?;
    }
    Ok(())
}

fn remove_if_present(vfs: &dyn Vfs, path: &Path) -> io::Result<()> {
    match vfs.remove(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_has_golden_bytes_and_no_flipped_bit_passes() {
        let text = line(2);
        assert_eq!(text, "lightning manifest-000002 7f82ba71\n");
        assert_eq!(parse(&text), Some(2));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(parse), None, "bit {bit}");
        }
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut]), None);
        }
    }

    #[test]
    fn only_names_of_manifests_count() {
        assert_eq!(manifest_number(Path::new("d/manifest-000012")), Some(12));
        for other in ["d/manifest-12", "d/manifest-000012.tmp", "d/CURRENT", "d/manifest-"] {
            assert_eq!(manifest_number(Path::new(other)), None, "{other}");
        }
    }
}
