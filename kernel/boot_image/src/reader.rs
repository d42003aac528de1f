// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reading the system table: checks the envelope once, then hands out typed slices.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::wire::{
    CapWire, HeaderWire, IrqWire, MAGIC, MapWire, PDS_MAX, PdWire, RamWire, VERSION,
};

/// Start of the checked part: after magic, version and the checksum itself.
pub(crate) const CRC_START: usize = 16;
pub(crate) static CRC: crc::Crc<u32, crc::Table<16>> =
    crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// Why an image was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// No table follows the kernel.
    BadMagic,
    /// The table was written by another version of the host tool.
    BadVersion(u32),
    /// The image is shorter than it says.
    Truncated,
    /// Some bytes are not those that were written.
    BadChecksum,
    /// The counts do not fit the length.
    Malformed,
}

impl core::fmt::Display for ImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::BadMagic => f.write_str("no system table behind the kernel"),
            Self::BadVersion(found) => {
                write!(
                    f,
                    "system table has version {found}, kernel reads {VERSION}"
                )
            }
            Self::Truncated => f.write_str("image is cut off"),
            Self::BadChecksum => f.write_str("image has a wrong checksum"),
            Self::Malformed => f.write_str("system table contradicts itself"),
        }
    }
}

impl core::error::Error for ImageError {}

/// A checked system table.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    /// Every protection domain.
    pub pds: &'a [PdWire],
    /// Every mapping.
    pub maps: &'a [MapWire],
    /// Every capability.
    pub caps: &'a [CapWire],
    /// Every interrupt line.
    pub irqs: &'a [IrqWire],
    /// What to put into memory before the first PD runs.
    pub ram: &'a [RamWire],
    bytes: &'a [u8],
}

impl<'a> Image<'a> {
    /// Length of the table and payload that starts at `header`, as the header says.
    ///
    /// # Errors
    /// If this is no header of our version.
    pub fn length(header: &[u8]) -> Result<u64, ImageError> {
        let (header, _) = HeaderWire::ref_from_prefix(header).map_err(|_| ImageError::Truncated)?;
        if header.magic != MAGIC {
            return Err(ImageError::BadMagic);
        }
        if header.version.get() != VERSION {
            return Err(ImageError::BadVersion(header.version.get()));
        }
        Ok(header.length.get())
    }

    /// Reads the table whose header is the first byte of `bytes`.
    ///
    /// # Errors
    /// Whatever is wrong with the envelope.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let length = usize::try_from(Self::length(bytes)?).map_err(|_| ImageError::Truncated)?;
        let bytes = bytes.get(..length).ok_or(ImageError::Truncated)?;
        let (header, rest) =
            HeaderWire::ref_from_prefix(bytes).map_err(|_| ImageError::Truncated)?;
        if CRC.checksum(&bytes[CRC_START..]) != header.crc.get() {
            return Err(ImageError::BadChecksum);
        }
        let (pds, rest) = array::<PdWire>(rest, header.pd_count.get())?;
        let (maps, rest) = array::<MapWire>(rest, header.map_count.get())?;
        let (caps, rest) = array::<CapWire>(rest, header.cap_count.get())?;
        let (irqs, rest) = array::<IrqWire>(rest, header.irq_count.get())?;
        let (ram, _) = array::<RamWire>(rest, header.ram_count.get())?;
        let image = Self {
            pds,
            maps,
            caps,
            irqs,
            ram,
            bytes,
        };
        let contents_fit = ram.iter().all(|run| image.try_content(run).is_some());
        if pds.len() > PDS_MAX || !contents_fit {
            return Err(ImageError::Malformed);
        }
        Ok(image)
    }

    /// The initial bytes of `run`; zeros follow up to its size.
    #[must_use]
    pub fn content(&self, run: &RamWire) -> &'a [u8] {
        self.try_content(run).unwrap_or(&[])
    }

    fn try_content(&self, run: &RamWire) -> Option<&'a [u8]> {
        let start = usize::try_from(run.offset.get()).ok()?;
        let length = usize::try_from(run.length.get()).ok()?;
        if run.length > run.size {
            return None;
        }
        self.bytes.get(start..start.checked_add(length)?)
    }
}

fn array<T>(bytes: &[u8], count: u32) -> Result<(&[T], &[u8]), ImageError>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned,
{
    <[T]>::ref_from_prefix_with_elems(bytes, count as usize).map_err(|_| ImageError::Malformed)
}
