// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The event loop: receives, and hands what came to the PD's [`Handler`].

use core::{convert::Infallible, fmt};

use microkit_abi::{
    badge::Sender,
    first_reply,
    message::MessageInfo as RawInfo,
    noted, slots,
    syscalls::{self, Message, Received},
    watch::{self, Moment},
};

use crate::{
    Channel, ChannelSet, Child, DeferredAction, MessageInfo, pd_is_passive, symbols::pd_irqs,
};

/// What a protection domain does with what it receives.
pub trait Handler {
    /// Error that ends the event loop, and with it this life of the PD.
    type Error: fmt::Display;

    /// Peers or interrupts have signalled. A bit says "look", not how often; after a restart it
    /// may be older than this life.
    fn notified(&mut self, channels: ChannelSet) -> Result<(), Self::Error> {
        panic!(
            "unexpected notification from channels {}",
            channels.display()
        )
    }

    /// A peer has made a protected procedure call; the result is the answer.
    fn protected(
        &mut self,
        channel: Channel,
        msg_info: MessageInfo,
    ) -> Result<MessageInfo, Self::Error> {
        panic!("unexpected protected procedure call from {channel:?} with {msg_info:?}")
    }

    /// A child has faulted; the result, if there is one, is the reply to the fault.
    fn fault(
        &mut self,
        child: Child,
        msg_info: MessageInfo,
    ) -> Result<Option<MessageInfo>, Self::Error> {
        panic!("unexpected fault of {child:?} with {msg_info:?}")
    }

    /// An action to make one system call with the next receive.
    fn take_deferred_action(&mut self) -> Option<DeferredAction> {
        None
    }

    /// The event loop.
    #[doc(hidden)]
    fn run(&mut self) -> Result<Never, Self::Error> {
        acknowledge_irqs();
        // Whoever signalled while the PD waited inside its `init` will not signal again.
        let bits = noted::take(u64::MAX);
        if bits != 0 {
            self.notified(ChannelSet(bits))?;
        }
        // The first receive is a reply or returns the scheduling context: what was put off goes before it.
        if let Some(action) = self.take_deferred_action() {
            syscalls::send_message(action.prepare());
        }
        watch::tell(Moment::Idle);
        if !pd_is_passive() {
            // First life or not: wakes the caller that the last one owed an answer.
            dispatch(self, syscalls::reply_recv(first_reply::get()))
        } else {
            // A passive PD gives its scheduling context back together with its first receive.
            let forfeit = Message {
                capability: slots::MONITOR,
                info: RawInfo::new(0, 0),
            };
            dispatch(self, syscalls::nb_send_recv(forfeit))
        }
    }
}

/// Handles `first` and everything after it; returns only with an error.
fn dispatch<H: Handler + ?Sized>(handler: &mut H, first: Received) -> Result<Never, H::Error> {
    let mut received = first;
    loop {
        let mut reply = None;
        watch::tell(Moment::Busy);
        match Sender::from_badge(received.badge) {
            Sender::Notifications(bits) => {
                let bits = watch::received(bits);
                if bits != 0 {
                    handler.notified(ChannelSet(bits))?;
                }
            }
            Sender::Channel(id) if id <= slots::CHANNEL_MAX => {
                let info = MessageInfo::from_inner(received.info);
                reply = Some(handler.protected(Channel::new(id), info)?);
            }
            Sender::Channel(_) => {}
            Sender::Child(id) => {
                reply = handler.fault(Child::new(id), MessageInfo::from_inner(received.info))?;
            }
        }
        watch::tell(Moment::Idle);
        received = next(handler, reply)?;
    }
}

fn next<H: Handler + ?Sized>(
    handler: &mut H,
    reply: Option<MessageInfo>,
) -> Result<Received, H::Error> {
    let action = handler.take_deferred_action();
    let bits = noted::take(u64::MAX);
    if bits != 0 {
        // Bits noted by a wait inside the handler come before what waits in the kernel.
        if let Some(reply) = reply {
            syscalls::send(slots::REPLY, reply.inner());
        }
        if let Some(action) = action {
            syscalls::send_message(action.prepare());
        }
        return Ok(Received {
            badge: bits,
            info: RawInfo::default(),
        });
    }
    Ok(match (reply, action) {
        (Some(reply), None) => syscalls::reply_recv(reply.inner()),
        (Some(reply), Some(action)) => {
            // The reply's registers are in the IPC buffer; the action carries none.
            syscalls::send(slots::REPLY, reply.inner());
            syscalls::nb_send_recv(action.prepare())
        }
        (None, Some(action)) => syscalls::nb_send_recv(action.prepare()),
        (None, None) => syscalls::recv(),
    })
}

/// An interrupt that a dead life had not acknowledged would never come again.
fn acknowledge_irqs() {
    for channel in ChannelSet(pd_irqs() as u64).iter() {
        if let Err(error) = channel.irq_ack() {
            panic!("interrupt {}: {error}", channel.index());
        }
    }
}

/// The value of an event loop that ended, which it never does without an error.
#[doc(hidden)]
pub enum Never {}

impl Handler for Never {
    type Error = Infallible;
}

/// A handler that expects nothing.
pub struct NullHandler(());

impl NullHandler {
    /// Makes one.
    #[allow(clippy::new_without_default, reason = "as upstream")]
    pub fn new() -> Self {
        Self(())
    }
}

impl Handler for NullHandler {
    type Error = Infallible;
}
