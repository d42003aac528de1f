// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A machine without hardware, and PDs whose programs are the tests: each call below is one `svc`
//! of whichever thread runs.
//!
//! Programs have one instruction per four bytes and nothing else; a thread's `pc` says how far it
//! came, which is enough to see whether a system call is repeated or returns.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;

use kernel_core::{
    CacheOperation, Cap, EndpointId, Fault, FaultHandler, Kernel, Machine, MessageInfo,
    NotificationId, PdConfig, Registers, ReplyId, SchedContextId, ThreadId,
};

/// Slots of the Microkit CNode.
pub const INPUT: u64 = 1;
pub const FAULT: u64 = 2;
pub const VSPACE: u64 = 3;
pub const REPLY: u64 = 4;
pub const MONITOR: u64 = 5;
pub const SMC: u64 = 7;
pub const NOTIFY: u64 = 10;
pub const PPC: u64 = 74;
pub const IRQ: u64 = 138;
pub const CHILD: u64 = 202;

/// Where every program starts.
pub const ENTRY: u64 = 0x20_0000;
/// Where a test restarts a PD.
pub const RESTART: u64 = 0x30_0000;
pub const STACK: u64 = 0xff_ffff_e000;
/// Ticks in a microsecond.
pub const US: u64 = 10;

/// Records what the kernel does to the machine.
#[derive(Default)]
pub struct Fake {
    pub ipc: BTreeMap<(u8, usize), u64>,
    pub masked: BTreeSet<u32>,
    pub console: String,
    pub caches: Vec<(CacheOperation, u8, u64, u64)>,
    pub smc: Vec<[u64; 8]>,
    /// Pages that exist: owner, first address, size.
    pub pages: Vec<(u8, u64, u64)>,
}

impl Machine for Fake {
    fn ipc_word(&self, thread: ThreadId, word: usize) -> u64 {
        self.ipc.get(&(thread.0, word)).copied().unwrap_or(0)
    }
    fn set_ipc_word(&mut self, thread: ThreadId, word: usize, value: u64) {
        self.ipc.insert((thread.0, word), value);
    }
    fn mask_irq(&mut self, irq: u32) {
        self.masked.insert(irq);
    }
    fn unmask_irq(&mut self, irq: u32) {
        self.masked.remove(&irq);
    }
    fn page_size(&self, owner: ThreadId, vaddr: u64) -> Option<u64> {
        let page = self
            .pages
            .iter()
            .find(|page| page.0 == owner.0 && (page.1..page.1 + page.2).contains(&vaddr));
        page.map(|page| page.2)
    }
    fn maintain_caches(
        &mut self,
        operation: CacheOperation,
        owner: ThreadId,
        start: u64,
        end: u64,
    ) {
        self.caches.push((operation, owner.0, start, end));
    }
    fn secure_monitor_call(&mut self, arguments: [u64; 8]) -> [u64; 8] {
        self.smc.push(arguments);
        arguments.map(|argument| argument + 1)
    }
    fn put_char(&mut self, byte: u8) {
        self.console.push(char::from(byte));
    }
    fn print(&mut self, text: Arguments<'_>) {
        self.console.push_str(&text.to_string());
    }
    fn stop(&mut self, why: Arguments<'_>) -> ! {
        panic!("stopped: {why}");
    }
}

/// A PD to be.
#[derive(Clone, Copy)]
pub struct Pd {
    pub name: &'static str,
    pub priority: u8,
    pub parent: Option<(u8, u64)>,
    pub budget_us: u64,
    pub period_us: u64,
    /// Whether its input is an endpoint.
    pub endpoint: bool,
}

/// A PD that receives on its notification.
pub fn pd(name: &'static str, priority: u8) -> Pd {
    Pd {
        name,
        priority,
        parent: None,
        budget_us: 1000,
        period_us: 1000,
        endpoint: false,
    }
}

impl Pd {
    pub fn server(self) -> Self {
        Self {
            endpoint: true,
            ..self
        }
    }
    pub fn child_of(self, parent: u8, id: u64) -> Self {
        Self {
            parent: Some((parent, id)),
            ..self
        }
    }
    pub fn budget(self, budget_us: u64, period_us: u64) -> Self {
        Self {
            budget_us,
            period_us,
            ..self
        }
    }
}

/// A booted system.
pub struct Sim {
    pub kernel: Kernel,
    pub m: Fake,
    pub now: u64,
    pub deadline: Option<u64>,
}

impl Sim {
    pub fn new(pds: &[Pd]) -> Self {
        let mut kernel = Kernel::new();
        kernel.set_clock(0, US);
        for (index, pd) in pds.iter().enumerate() {
            let fault_handler = match pd.parent {
                None => FaultHandler {
                    endpoint: EndpointId::MONITOR,
                    badge: index as u64 + 1,
                },
                Some((parent, id)) => FaultHandler {
                    endpoint: EndpointId(parent),
                    badge: 1 << 62 | id,
                },
            };
            let config = PdConfig {
                name: pd.name.as_bytes(),
                priority: pd.priority,
                budget: pd.budget_us * US,
                period: pd.period_us * US,
                entry: ENTRY,
                stack_top: STACK,
                fpu: true,
                fault_handler,
            };
            let thread = kernel.add_pd(&config).unwrap();
            let own = index as u8;
            let input = if pd.endpoint {
                Cap::Endpoint {
                    endpoint: EndpointId(own),
                    badge: 0,
                }
            } else {
                Cap::Notification {
                    notification: NotificationId(own),
                    badge: 0,
                }
            };
            let monitor = Cap::Endpoint {
                endpoint: EndpointId::MONITOR,
                badge: own as u64 + 1,
            };
            let FaultHandler { endpoint, badge } = fault_handler;
            for (slot, cap) in [
                (INPUT, input),
                (FAULT, Cap::Endpoint { endpoint, badge }),
                (VSPACE, Cap::Vspace(thread)),
                (REPLY, Cap::Reply(ReplyId(own))),
                (MONITOR, monitor),
            ] {
                kernel.install_cap(thread, slot as usize, cap).unwrap();
            }
            if let Some((parent, id)) = pd.parent {
                let slot = (CHILD + id) as usize;
                kernel
                    .install_cap(ThreadId(parent), slot, Cap::Tcb(thread))
                    .unwrap();
            }
        }
        let mut sim = Self {
            kernel,
            m: Fake::default(),
            now: 0,
            deadline: None,
        };
        sim.schedule();
        sim
    }

    /// A channel with the same id at both ends; `from` may call `to`.
    pub fn channel(&mut self, from: u8, to: u8, id: u64) {
        for (end, peer) in [(from, to), (to, from)] {
            let cap = Cap::Notification {
                notification: NotificationId(peer),
                badge: 1 << id,
            };
            self.install(end, NOTIFY + id, cap);
        }
        let cap = Cap::Endpoint {
            endpoint: EndpointId(to),
            badge: 1 << 63 | id,
        };
        self.install(from, PPC + id, cap);
    }

    pub fn install(&mut self, pd: u8, slot: u64, cap: Cap) {
        self.kernel
            .install_cap(ThreadId(pd), slot as usize, cap)
            .unwrap();
    }

    /// Gives `pd` the scheduling context of `of` at user slot `slot`.
    pub fn give_context(&mut self, pd: u8, slot: u64, of: u8) {
        self.install(pd, 512 + slot, Cap::SchedContext(SchedContextId(of)));
    }

    pub fn irq(&mut self, irq: u32, pd: u8, id: u64) {
        self.kernel.add_irq(irq, ThreadId(pd), 1 << id).unwrap();
        self.install(pd, IRQ + id, Cap::IrqHandler(irq));
    }

    fn schedule(&mut self) {
        self.deadline = self.kernel.schedule().deadline;
    }

    /// Who runs; 255 for nobody.
    pub fn running(&self) -> u8 {
        self.kernel.current().map_or(255, |thread| thread.0)
    }

    #[track_caller]
    pub fn expect_running(&self, pd: u8) {
        assert_eq!(self.running(), pd, "console: {}", self.m.console);
    }

    pub fn registers(&self, pd: u8) -> &Registers {
        self.kernel.registers(ThreadId(pd))
    }

    pub fn x(&self, pd: u8, index: usize) -> u64 {
        self.registers(pd).x[index]
    }

    pub fn pc(&self, pd: u8) -> u64 {
        self.registers(pd).next_ip
    }

    /// Label and length that `pd` sees in x1.
    pub fn info(&self, pd: u8) -> (u64, u64) {
        let info = MessageInfo::from_word(self.x(pd, 1));
        (info.label(), info.length())
    }

    pub fn inactive(&self, pd: u8) -> bool {
        self.kernel.is_inactive(ThreadId(pd))
    }

    /// The running thread executes `svc` with these registers.
    pub fn svc(&mut self, number: i64, set: &[(usize, u64)]) {
        let current = self.kernel.current().expect("somebody runs");
        let registers = self.kernel.registers_mut(current);
        for &(index, value) in set {
            registers.x[index] = value;
        }
        registers.x[7] = number.cast_unsigned();
        registers.fault_ip = registers.next_ip;
        registers.next_ip += 4;
        self.kernel
            .syscall(&mut self.m, self.now, number.cast_unsigned());
        self.schedule();
    }

    /// The running thread traps.
    pub fn fault(&mut self, fault: Fault) {
        let current = self.kernel.current().expect("somebody runs");
        let registers = self.kernel.registers_mut(current);
        registers.fault_ip = registers.next_ip;
        self.kernel.fault(&mut self.m, self.now, fault);
        self.schedule();
    }

    /// The running thread touches what is not mapped.
    pub fn crash(&mut self) {
        self.fault(Fault::Vm {
            address: 0xdead,
            instruction: false,
            status: 0x9200_0006,
        });
    }

    /// The running thread computes for a while; the kernel's timer works meanwhile.
    pub fn compute(&mut self, ticks: u64) {
        let end = self.now + ticks;
        while let Some(deadline) = self.deadline.filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            if let Some(current) = self.kernel.current() {
                let registers = self.kernel.registers_mut(current);
                registers.fault_ip = registers.next_ip;
            }
            self.kernel.tick(self.now);
            self.schedule();
        }
        self.now = end;
    }

    pub fn raise(&mut self, irq: u32) {
        if self.m.masked.contains(&irq) {
            return;
        }
        self.kernel.interrupt(&mut self.m, self.now, irq);
        self.schedule();
    }

    fn message(to: u64, label: u64, words: &[u64]) -> Vec<(usize, u64)> {
        let mut set = vec![
            (0, to),
            (1, MessageInfo::new(label, words.len() as u64).word()),
        ];
        set.extend(
            words
                .iter()
                .take(4)
                .enumerate()
                .map(|(index, &word)| (index + 2, word)),
        );
        set
    }

    fn write_buffer(&mut self, words: &[u64]) {
        let current = self.kernel.current().unwrap();
        for (index, &word) in words.iter().enumerate().skip(4) {
            self.m.set_ipc_word(current, index + 1, word);
        }
    }

    pub fn call(&mut self, to: u64, label: u64, words: &[u64]) {
        self.write_buffer(words);
        self.svc(-1, &Self::message(to, label, words));
    }

    pub fn send(&mut self, to: u64, label: u64, words: &[u64]) {
        self.write_buffer(words);
        self.svc(-5, &Self::message(to, label, words));
    }

    pub fn nb_send(&mut self, to: u64, label: u64, words: &[u64]) {
        self.write_buffer(words);
        self.svc(-6, &Self::message(to, label, words));
    }

    pub fn notify(&mut self, id: u64) {
        self.nb_send(NOTIFY + id, 0, &[]);
    }

    /// Receives as libmicrokit does without a reply pending.
    pub fn recv(&mut self) {
        self.svc(-7, &[(0, INPUT), (6, REPLY)]);
    }

    pub fn reply_recv(&mut self, label: u64, words: &[u64]) {
        self.write_buffer(words);
        let mut set = Self::message(INPUT, label, words);
        set.push((6, REPLY));
        self.svc(-2, &set);
    }

    /// Receives with a deferred signal, as `NBSendRecv`.
    pub fn nb_send_recv(&mut self, to: u64) {
        self.svc(-3, &[(0, INPUT), (1, 0), (6, REPLY), (8, to)]);
    }

    /// `microkit_pd_restart`.
    pub fn restart(&mut self, child: u64, pc: u64) {
        self.call(CHILD + child, 3, &[1, 1, pc]);
        assert_eq!(self.x(self.running(), 1), 0, "{}", self.m.console);
    }

    /// `microkit_pd_stop`.
    pub fn stop(&mut self, child: u64) {
        self.call(CHILD + child, 12, &[]);
    }

    /// Resume without a new address.
    pub fn resume(&mut self, child: u64) {
        self.call(CHILD + child, 13, &[]);
    }

    /// Lets the running thread wait, then says who runs.
    pub fn message_words(&self, pd: u8, count: u64) -> Vec<u64> {
        (0..count)
            .map(|index| {
                if index < 4 {
                    self.x(pd, index as usize + 2)
                } else {
                    self.m.ipc_word(ThreadId(pd), index as usize + 1)
                }
            })
            .collect()
    }
}
