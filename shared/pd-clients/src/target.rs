// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The connections themselves. There is none on the host, where tests make the services' peers up.

use alloc::format;

use fs_client::events::Requests;
use fs_client::{ChannelPeer, DirectRegions, FileSystem, Regions};
use pd_setup::{channel_to, region};
use sel4_microkit::Channel;
use timer_client::{Clock, Service, Timers};
use topology::Topology;

/// The channel to the time service.
#[derive(Clone, Copy, Debug)]
pub struct TimerChannel(Channel);

impl TimerChannel {
    /// The one that system.xml gives this PD.
    pub fn find(topology: &Topology<'static>) -> Self {
        Self(channel_to(topology, "timer"))
    }
}

impl Service for TimerChannel {
    fn notify(&mut self) {
        self.0.notify();
    }

    fn wait(&mut self) {
        microkit_wait::wait_for(self.0);
    }
}

fn file_regions(topology: &Topology<'static>) -> Regions {
    let name = topology.name();
    let region = |name: &str| region(topology, name);
    Regions {
        requests: pd_setup::writes(&region(&format!("{name}_to_fs_requests"))),
        completions: pd_setup::reads(&region(&format!("fs_to_{name}_completions"))),
        output: pd_setup::writes(&region(&format!("{name}_to_fs_data"))),
        input: pd_setup::reads(&region(&format!("fs_to_{name}_data"))),
    }
}

/// The file service, asked for every read. Does not wait for it.
pub fn files_through_service(topology: &Topology<'static>) -> FileSystem {
    let peer = ChannelPeer::new(files_channel(topology));
    let files = FileSystem::attach(file_regions(topology), peer);
    let name = topology.name();
    files.unwrap_or_else(|error| panic!("regions between {name} and fs: {error}"))
}

/// The cache of the file service and its index, where system.xml maps both to this PD.
pub fn file_cache(topology: &Topology<'static>) -> Option<DirectRegions> {
    Some(DirectRegions {
        cache: pd_setup::reads(&topology.region("fs_to_blk_data")?),
        index: pd_setup::reads(&topology.region("fs_cache_index")?),
    })
}

/// The file service. Does not wait for it. Where system.xml maps the service's cache and its index to this PD
/// (`fs_to_blk_data`, `fs_cache_index`), what is cached is read without the service.
pub fn files(topology: &Topology<'static>) -> FileSystem {
    let files = files_through_service(topology);
    if let Some(cache) = file_cache(topology) {
        files.read_directly(cache);
    }
    files
}

/// The file service for a PD that does not wait, with up to `depth` requests under way. It notifies
/// [`files_channel`] itself.
pub fn file_requests(topology: &Topology<'static>, depth: usize) -> Requests {
    let requests = Requests::attach(file_regions(topology), depth);
    let name = topology.name();
    requests.unwrap_or_else(|error| panic!("regions between {name} and fs: {error}"))
}

/// The channel to the file service.
pub fn files_channel(topology: &Topology<'static>) -> Channel {
    channel_to(topology, "fs")
}

/// The clocks. Waits for the first life of the time service.
pub fn clock(topology: &Topology<'static>) -> Clock {
    let page = pd_setup::reads(&region(topology, "timer_clock"));
    let mut channel = TimerChannel::find(topology);
    loop {
        match Clock::attach(page.clone(), recovery::ticks) {
            Ok(clock) => return clock,
            Err(_) => channel.wait(),
        }
    }
}

/// Clocks and timers. Waits for the first life of the time service.
pub fn timers(topology: &Topology<'static>) -> Timers<TimerChannel> {
    let name = topology.name();
    let region = |name: &str| region(topology, name);
    let armed = pd_setup::writes(&region(&format!("{name}_to_timer_timers")));
    let firings = pd_setup::reads(&region(&format!("timer_to_{name}_firings")));
    let channel = TimerChannel::find(topology);
    let timers = Timers::attach(armed, firings, clock(topology), channel);
    let mut timers =
        timers.unwrap_or_else(|error| panic!("regions between {name} and timer: {error:?}"));
    if let Some(control) = topology.region(&format!("{name}_to_timer_control")) {
        timers.set_control(pd_setup::writes(&control));
    }
    timers
}
