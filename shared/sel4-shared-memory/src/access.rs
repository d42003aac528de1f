// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a typed pointer may be used for, as a type parameter.

/// An access permission.
pub trait Access: Copy + Default {}

/// Permissions that include reading.
pub trait Readable: Access {}

/// Permissions that include writing.
pub trait Writable: Access {}

/// Permissions that can be narrowed to what `To` also allows.
pub trait RestrictAccess<To>: Access {
    /// What both allow.
    type Restricted: Access;
}

macro_rules! permission {
    ($(#[$doc:meta])* $Name:ident: $($Trait:ident),*) => {
        $(#[$doc])*
        #[derive(Debug, Default, Copy, Clone, PartialEq, Eq)]
        pub struct $Name;
        impl Access for $Name {}
        $(impl $Trait for $Name {})*
    };
}

permission!(
    /// Reading and writing.
    ReadWrite: Readable, Writable
);
permission!(
    /// Reading only.
    ReadOnly: Readable
);
permission!(
    /// Writing only.
    WriteOnly: Writable
);
permission!(
    /// Neither reading nor writing.
    NoAccess:
);

impl<To: Access> RestrictAccess<To> for ReadWrite {
    type Restricted = To;
}

impl<To> RestrictAccess<To> for NoAccess {
    type Restricted = Self;
}

macro_rules! narrow {
    ($($From:ty, $To:ty => $Both:ty;)*) => {
        $(impl RestrictAccess<$To> for $From {
            type Restricted = $Both;
        })*
    };
}

narrow! {
    ReadOnly, ReadWrite => ReadOnly;
    ReadOnly, ReadOnly => ReadOnly;
    ReadOnly, WriteOnly => NoAccess;
    ReadOnly, NoAccess => NoAccess;
    WriteOnly, ReadWrite => WriteOnly;
    WriteOnly, ReadOnly => NoAccess;
    WriteOnly, WriteOnly => WriteOnly;
    WriteOnly, NoAccess => NoAccess;
}
