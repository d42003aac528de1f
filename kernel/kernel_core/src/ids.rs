// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Names of kernel objects. All objects of a PD bear the PD's index; the types keep them apart.

/// Most protection domains in one system, as in Microkit.
pub const PDS_MAX: usize = 63;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub u8);

        impl $name {
            /// Position in the kernel's array of these objects.
            #[must_use]
            pub fn index(self) -> usize {
                usize::from(self.0)
            }
        }
    };
}

id!(
    /// A thread: every PD has exactly one.
    ThreadId
);
id!(
    /// An endpoint: one per PD, and [`EndpointId::MONITOR`].
    EndpointId
);
id!(
    /// A notification, bound to the thread of the same PD.
    NotificationId
);
id!(
    /// A reply object.
    ReplyId
);
id!(
    /// A scheduling context.
    SchedContextId
);

impl EndpointId {
    /// Where faults of root PDs go. The kernel itself receives there, in Microkit's monitor's place.
    pub const MONITOR: Self = Self(PDS_MAX as u8);
}
