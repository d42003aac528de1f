// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Listing a folder.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proto::fs::{CursorWire, EntryWire, Kind, Operation};

use crate::{Error, File, FileSystem, OpenOptions, take};

/// Bytes of entries that are asked for at once.
pub(crate) const LISTING_BYTES: usize = 8192;

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    name: Vec<u8>,
    kind: Kind,
    inode: u32,
}

impl DirEntry {
    /// Its name; what is no UTF-8 is replaced.
    pub fn file_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Its name as it is on the disk.
    pub fn file_name_bytes(&self) -> &[u8] {
        &self.name
    }

    /// What it is.
    pub fn file_type(&self) -> Kind {
        self.kind
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        self.inode
    }
}

/// The files of a folder, one after the other.
#[derive(Debug)]
pub struct ReadDir {
    fs: FileSystem,
    folder: File,
    cursor: CursorWire,
    entries: VecDeque<DirEntry>,
}

impl core::fmt::Debug for FileSystem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FileSystem(server epoch {:?})", self.server_epoch())
    }
}

impl ReadDir {
    pub(crate) fn open(fs: &FileSystem, path: &str) -> Result<Self, Error> {
        let folder = OpenOptions::new()
            .read(true)
            .directory(true)
            .open(fs, path)?;
        Ok(Self::of(fs, folder))
    }

    pub(crate) fn of(fs: &FileSystem, folder: File) -> Self {
        Self {
            fs: fs.clone(),
            folder,
            cursor: CursorWire::default(),
            entries: VecDeque::new(),
        }
    }

    /// Begins again, with what the folder has by then.
    pub fn rewind(&mut self) {
        self.entries.clear();
        self.cursor = CursorWire::default();
    }

    /// Asks for more entries.
    fn fetch(&mut self) -> Result<(), Error> {
        let (bytes, count) = self.fs.call(|connection| {
            let room = LISTING_BYTES.min(connection.transfer_max());
            let mut request = connection.request(Operation::Readdir);
            request.handle = self.folder.handle();
            request.offset = self.cursor.low;
            request.offset_high = self.cursor.high;
            request.output.length = (room as u32).into();
            let completion = connection.call(&request)?;
            let length = completion.value.get() as usize;
            if length > room - size_of::<CursorWire>() {
                return Err(Error::BadAnswer);
            }
            let mut bytes = vec![0; size_of::<CursorWire>() + length];
            connection.load(&mut bytes);
            Ok((bytes, completion.extra.get()))
        })?;
        let (entries, cursor) = entries(&bytes, count)?;
        self.entries.extend(entries);
        self.cursor = cursor;
        Ok(())
    }
}

/// Reads what the service lists: where the listing goes on, and `count` entries.
pub(crate) fn entries(bytes: &[u8], count: u64) -> Result<(Vec<DirEntry>, CursorWire), Error> {
    let (cursor, mut rest) = take::<CursorWire>(bytes).ok_or(Error::BadAnswer)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let (entry, name_and_more) = take::<EntryWire>(rest).ok_or(Error::BadAnswer)?;
        let length = usize::from(entry.name_length);
        let name = name_and_more.get(..length).ok_or(Error::BadAnswer)?;
        entries.push(DirEntry {
            name: name.to_vec(),
            kind: Kind::from_number(u32::from(entry.kind)).ok_or(Error::BadAnswer)?,
            inode: entry.inode.get(),
        });
        let padded = (size_of::<EntryWire>() + length).next_multiple_of(8);
        rest = rest.get(padded..).ok_or(Error::BadAnswer)?;
    }
    if count == 0 && cursor != CursorWire::END {
        return Err(Error::BadAnswer);
    }
    Ok((entries, cursor))
}

impl Iterator for ReadDir {
    type Item = Result<DirEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.entries.is_empty() && self.cursor != CursorWire::END {
            if let Err(error) = self.fetch() {
                // One error, then the end.
                self.cursor = CursorWire::END;
                return Some(Err(error));
            }
        }
        self.entries.pop_front().map(Ok)
    }
}
