// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Actions that are put off until the next receive and made one system call with it.

use microkit_abi::{KernelConfig, message::MessageInfo, syscalls::Message};

use crate::{Channel, IrqAckError};

/// An action put off by [`Handler::take_deferred_action`](crate::Handler::take_deferred_action).
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub struct DeferredAction {
    channel: Channel,
    interface: DeferredActionInterface,
}

/// What can be put off.
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub enum DeferredActionInterface {
    /// A notification.
    Notify,
    /// The acknowledgement of an interrupt.
    IrqAck,
}

impl DeferredAction {
    /// Puts off an action on `channel`.
    pub fn new(channel: Channel, interface: DeferredActionInterface) -> Self {
        Self { channel, interface }
    }

    /// Puts off a notification.
    pub fn new_notify(channel: Channel) -> Self {
        Self::new(channel, DeferredActionInterface::Notify)
    }

    /// Puts off the acknowledgement of an interrupt.
    pub fn new_irq_ack(channel: Channel) -> Self {
        Self::new(channel, DeferredActionInterface::IrqAck)
    }

    /// The channel that is acted on.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// What will be done.
    pub fn interface(&self) -> DeferredActionInterface {
        self.interface
    }

    /// Does it without waiting for the next receive.
    pub fn execute_now(self) -> Result<(), IrqAckError> {
        match self.interface {
            DeferredActionInterface::Notify => {
                self.channel.notify();
                Ok(())
            }
            DeferredActionInterface::IrqAck => self.channel.irq_ack(),
        }
    }

    pub(crate) fn prepare(self) -> Message {
        match self.interface {
            DeferredActionInterface::Notify => Message {
                capability: self.channel.notification(),
                info: MessageInfo::new(0, 0),
            },
            DeferredActionInterface::IrqAck => Message {
                capability: self.channel.irq_handler(),
                info: MessageInfo::new(KernelConfig::detect().irq_ack(), 0),
            },
        }
    }
}

/// A place for one put-off action, for implementing `take_deferred_action`.
#[derive(Default)]
pub struct DeferredActionSlot {
    inner: Option<DeferredAction>,
}

impl DeferredActionSlot {
    /// An empty slot.
    pub const fn new() -> Self {
        Self { inner: None }
    }

    /// Takes the action out.
    pub fn take(&mut self) -> Option<DeferredAction> {
        self.inner.take()
    }

    /// Puts off `action`; one that was there is executed now.
    pub fn defer(&mut self, action: DeferredAction) -> Result<(), IrqAckError> {
        match self.inner.replace(action) {
            Some(earlier) => earlier.execute_now(),
            None => Ok(()),
        }
    }

    /// Puts off a notification.
    pub fn defer_notify(&mut self, channel: Channel) -> Result<(), IrqAckError> {
        self.defer(DeferredAction::new_notify(channel))
    }

    /// Puts off the acknowledgement of an interrupt.
    pub fn defer_irq_ack(&mut self, channel: Channel) -> Result<(), IrqAckError> {
        self.defer(DeferredAction::new_irq_ack(channel))
    }
}
