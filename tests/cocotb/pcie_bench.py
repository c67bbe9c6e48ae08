"""The appliance behind its PCIe link on Verilator, in a simulated rack server whose host is the real one."""

import logging
import os
from collections.abc import Callable
from random import Random

import cocotb
from cocotb.handle import SimHandleBase
from cocotb.simtime import get_sim_time
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, RisingEdge
from episodes import take
from pcie_host import Fault, SimulatedAccess, SimulatedHost

from bandgap.hdl.config import PRESETS
from bandgap.hdl.protocol.commands import COMMAND_BYTES, Opcode
from bandgap.hdl.protocol.pcie import (
    INTERRUPT_TABLE_OFFSET,
    LINK_BY_NAME,
    WINDOW_BYTES,
    WINDOWS_OFFSET,
    LinkError,
)
from bandgap.hdl.protocol.registers import BY_NAME, MAGIC
from bandgap.host.device.device import Device
from bandgap.host.device.pcie import PcieLinkError, PcieTransport, ReadFailedError
from bandgap.host.wire import Bytes2D, new_commands, report_headers, to_bytes
from bandgap.sim.flow.random_commands import random_episodes
from bandgap.sim.lab.compare import compare

SEED = int(os.environ["BANDGAP_SEED"])
CONFIG = PRESETS[os.environ["BANDGAP_PRESET"]]
REPEAT = f"BANDGAP_SEED={SEED} python -m pytest tests/cocotb -k pcie"
COMMANDS = int(os.environ["BANDGAP_COMMANDS"])
PATIENCE_S = 1e-4
CLOCK_NS = 4
RING_LOG2 = 4
SMALL_RINGS = {"descriptor_ring_log2": 2, "command_places": 32}
LINK_CYCLES = (2, 3, 4)
"""What the link adds to the core's time, from a command's last beat to each beat of its report."""
log = logging.getLogger("pcie_bench")
log.setLevel(logging.INFO)


class Bench:
    """A booted host and its device.

    Attributes
    ----------
    host : The simulated server.
    access, transport, device : The layers of the real host upon it; there once `connect` was called.
    """

    def __init__(self, dut: SimHandleBase, credit_is_short: bool = False) -> None:
        self.dut = dut
        self.rng = Random(SEED)
        log.info("seed %d; repeat with %s", SEED, REPEAT)
        self.host = SimulatedHost(dut, self.rng, credit_is_short)
        self._epoch = 0

    async def boot(self) -> "Bench":
        await self.host.boot()
        return self

    def open(self, **parameters: int | float) -> PcieTransport:
        """A transport with a small ring and both ways in; to be called from a bridged thread, as all below."""
        defaults = {"report_ring_log2": RING_LOG2, "bulk_commands": 3, "batch_commands": 7, "patience_s": PATIENCE_S}
        self.access = SimulatedAccess(self.host)
        return PcieTransport(self.access, **(defaults | parameters))  # type: ignore[arg-type]

    def connect(self, **parameters: int | float) -> None:
        self.transport = self.open(**parameters)
        self.start_epoch()

    def start_epoch(self) -> None:
        self._epoch += 1
        self.device = Device(self.transport, self._epoch)

    def compare(self, commands: int, **parameters: int | float) -> None:
        """Compare random commands with the model."""
        episodes = take(random_episodes(CONFIG, SEED), commands)
        compared = compare(CONFIG, lambda: self.open(**parameters), episodes, repeat=REPEAT)
        log.info("%d commands compared with the model, none different", compared)

    def commands(self, count: int) -> Bytes2D:
        commands = to_bytes(new_commands(Opcode.READ_CLOCK, count))
        self.device.number(commands)
        return commands

    def check(self, commands: Bytes2D) -> None:
        """Each command is answered once, in order, and nothing else comes."""
        answered = report_headers(self.device.receive())["command_number"]
        assert answered.tolist() == commands.view("<u4")[:, 1].tolist(), answered

    def echo(self, count: int, link: int = 0) -> None:
        commands = self.commands(count)
        self.device.send(commands, link=link)
        self.check(commands)

    def errors(self) -> LinkError:
        return LinkError(self.access.read_word(LINK_BY_NAME["errors"].offset))

    def write_windows(self, commands: Bytes2D, link: int = 0) -> None:
        """Write commands into a window and wait for nothing."""
        for row, command in enumerate(commands):
            offset = WINDOWS_OFFSET + link * WINDOW_BYTES + row * COMMAND_BYTES % WINDOW_BYTES
            self.access.write_line(offset, command.tobytes())
        self.transport._sent += len(commands)

    def wait(self, pauses: int) -> None:
        for _ in range(pauses):
            self.access.pause()


async def run(dut: SimHandleBase, scenario: Callable[[Bench], None], credit_is_short: bool = False) -> None:
    bench = await Bench(dut, credit_is_short).boot()
    await bridge(scenario)(bench)


@cocotb.test()
async def random_commands(dut: SimHandleBase) -> None:
    """Both ways in, compared with the model."""
    bench = await Bench(dut).boot()
    await bridge(bench.compare)(COMMANDS)


@cocotb.test()
async def random_commands_under_pressure(dut: SimHandleBase) -> None:
    """The same, while all streams pause, credit is short, completions overtake each other, and reads fail."""
    bench = await Bench(dut, credit_is_short=True).boot()
    bench.host.pause_at_random(0.6)
    bench.host.delay_cycles = 100
    for _ in range(300):
        healthy = [None] * bench.rng.randint(4, 15)
        bench.host.faults += [*healthy, bench.rng.choice((Fault.REFUSED, Fault.EMPTY, Fault.POISONED))]
    await bridge(bench.compare)(COMMANDS // 2, report_ring_log2=2, **SMALL_RINGS, batch_commands=20)


@cocotb.test()
async def bulk_of_any_size(dut: SimHandleBase) -> None:
    """Reads of every configured size, across pages, with completions cut in every way and overtaking each other."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        bench.host.delay_cycles = 60
        for read_request in range(3):
            for boundary_128, split in ((False, False), (False, True), (True, True)):
                bench.host.configure(bench.rng.randrange(4), read_request, boundary_128, split)
                bench.transport._batch_commands = bench.rng.randint(1, 60)
                bench.host.read_sizes.clear()
                bench.echo(bench.rng.randint(40, 90))
                assert max(bench.host.read_sizes) <= min(256, 128 << read_request)
        assert bench.errors() == LinkError(0)

    await run(dut, scenario)


@cocotb.test()
async def bursts_into_the_window(dut: SimHandleBase) -> None:
    """Commands in writes of any size and alignment up to the maximum payload, several commands in one."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        write = resume(bench.host.bar.write)
        for payload in range(4):
            bench.host.configure(payload, 2, False, False)
            for _ in range(4):
                commands = bench.commands(bench.rng.randint(1, 8))
                data, place = commands.tobytes(), 0
                bench.transport._use(by_ring=False)
                begin = WINDOWS_OFFSET + bench.rng.randrange(WINDOW_BYTES // COMMAND_BYTES - 8) * COMMAND_BYTES
                while place < len(data):
                    size = 4 * bench.rng.randint(1, (len(data) - place) // 4)
                    write(begin + place, data[place : place + size])
                    place += size
                bench.transport._sent += len(commands)
                bench.check(commands)
        assert bench.errors() == LinkError(0)

    await run(dut, scenario)


@cocotb.test()
async def everybody_holds_back(dut: SimHandleBase) -> None:
    """All four streams pause at random, and the root port has room for two writes and one read at a time."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        bench.host.pause_at_random(0.3)
        for _ in range(8):
            bench.echo(bench.rng.randint(1, 40), link=bench.rng.randrange(CONFIG.links))
        assert bench.errors() == LinkError(0)

    await run(dut, scenario, credit_is_short=True)


@cocotb.test()
async def full_ring(dut: SimHandleBase) -> None:
    """A host that takes no reports stops the core, loses nothing, and can still use every register."""

    def scenario(bench: Bench) -> None:
        bench.connect(report_ring_log2=3)
        transport = bench.transport
        slots = transport._shared().slots["slot"]
        first = transport._received + 1
        for _ in range(3):
            first = transport._received + 1
            commands = bench.commands(14)
            for some in (commands[:8], commands[8:]):  # never more than a window has room for
                bench.write_windows(some)
                bench.wait(40)
            assert sorted(slots["sequence"].tolist()) == list(range(first, first + 8))
            assert bench.access.read_word(LINK_BY_NAME["reports_written"].offset) == first + 7
            assert bench.access.read_word(BY_NAME["magic"].offset) == MAGIC
            bench.check(commands)
        assert bench.errors() == LinkError(0)

    await run(dut, scenario)


@cocotb.test()
async def smallest_ring(dut: SimHandleBase) -> None:
    """One place: each report waits for the last one to be taken out, and each command in bulk for the last one."""

    def scenario(bench: Bench) -> None:
        bench.connect(report_ring_log2=0, descriptor_ring_log2=0, command_places=1)
        for count in (1, 2, 20):
            bench.echo(count)

    await run(dut, scenario)


@cocotb.test()
async def rings_of_bulk_that_wrap(dut: SimHandleBase) -> None:
    """Places of descriptors and of commands are used over and over; a batch ends where the command area does."""

    def scenario(bench: Bench) -> None:
        bench.connect(**SMALL_RINGS)
        bench.host.delay_cycles = 60
        transport = bench.transport
        for _ in range(6):
            transport._batch_commands = bench.rng.randint(1, 20)
            bench.echo(bench.rng.randint(40, 70))
        assert transport.failed_reads == 0, "counting began anew"
        assert transport._posted >= 4 * len(transport._shared().descriptors)
        assert transport._sent >= 4 * SMALL_RINGS["command_places"]
        assert bench.errors() == LinkError(0)

    await run(dut, scenario)


@cocotb.test()
async def sequences_that_wrap(dut: SimHandleBase) -> None:
    """Sequences are counted modulo 2**32; where they begin anew, nothing is lost, taken twice or held back."""

    def scenario(bench: Bench) -> None:
        bench.connect(report_ring_log2=3)
        transport = bench.transport
        # As after so many reports, and two laps before the end: a place has been written before it is to have zero.
        transport._received = (1 << 32) - 3 * len(transport._shared().slots)
        transport.restart()
        bench.start_epoch()
        before = transport._received
        for count in (2, 9, 2, 20):
            bench.echo(count)
        assert transport._received < before
        assert bench.access.read_word(LINK_BY_NAME["reports_written"].offset) == transport._received
        assert bench.errors() == LinkError(0)

    await run(dut, scenario)


@cocotb.test()
async def overrun_windows(dut: SimHandleBase) -> None:
    """A host that writes more commands than there is room for is told, and can begin anew."""

    def scenario(bench: Bench) -> None:
        bench.connect(report_ring_log2=1)
        bench.write_windows(bench.commands(40))
        bench.wait(20)
        assert bench.errors() == LinkError.WINDOW_OVERRUN
        try:
            bench.device.receive()
        except PcieLinkError as error:
            assert "commands were lost on the way to the device: window overrun" in str(error)
        else:
            raise AssertionError("the loss was not noticed")
        bench.transport.restart()
        bench.start_epoch()
        bench.echo(5)

    await run(dut, scenario)


@cocotb.test()
async def wrong_accesses(dut: SimHandleBase) -> None:
    """What BAR 0 does not serve is refused and told; nothing else comes of it."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        read, write = resume(bench.host.bar.read), resume(bench.host.bar.write)
        magic = BY_NAME["magic"].offset

        def refused(act: Callable[[], object]) -> None:
            assert bench.errors() == LinkError(0)
            try:
                act()
            except Exception as error:
                assert "Unsuccessful completion" in str(error)
            assert bench.errors() == LinkError.UNSUPPORTED_REQUEST
            bench.transport._write("errors", LinkError.UNSUPPORTED_REQUEST.value)

        refused(lambda: read(magic, 8))
        refused(lambda: read(magic, 300))
        refused(lambda: write(BY_NAME["token_first"].offset, b"\1"))
        refused(lambda: write(BY_NAME["token_first"].offset, bytes(36)))
        assert bench.access.read_word(BY_NAME["token_count"].offset) == CONFIG.orders
        word = MAGIC.to_bytes(4, "little")
        for begin in range(4):
            for end in range(begin, 5):
                assert read(magic + begin, end - begin) == word[begin:end]
        bench.echo(2)

        command = bench.commands(1).tobytes()
        for offset, data in ((4, command[4:8]), (0, command[:31]), (0, command[:16]), (20, command[20:])):
            write(WINDOWS_OFFSET + offset, data)
        assert bench.errors() == LinkError.WINDOW_ORDER
        bench.transport.restart()
        bench.start_epoch()
        write(WINDOWS_OFFSET, bench.commands(1).tobytes()[:12])  # begun, never ended
        bench.echo(2)
        assert bench.errors() == LinkError(0)

    await run(dut, scenario)


@cocotb.test()
async def corrupt_write(dut: SimHandleBase) -> None:
    """A write that the block does not vouch for is dropped whole, be it of commands or registers."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        source = bench.host.block.cq_source
        original = source.send
        bad = [True]

        async def send(frame):
            frame.discontinue = bool(bad)
            await original(frame)

        write = resume(bench.host.bar.write)
        commands = bench.commands(4)
        source.send = send
        write(WINDOWS_OFFSET, commands[:3].tobytes())
        write(BY_NAME["token_count"].offset, bytes(4))
        bench.wait(2)
        bad.clear()
        assert bench.errors() == LinkError.CORRUPT_REQUEST
        assert bench.access.read_word(BY_NAME["token_count"].offset) == CONFIG.orders
        bench.transport._write("errors", LinkError.CORRUPT_REQUEST.value)
        bench.wait(2)
        bench.write_windows(commands[3:])
        bench.check(commands[3:])

    await run(dut, scenario)


@cocotb.test()
async def failed_reads(dut: SimHandleBase) -> None:
    """Whatever becomes of a read: what came before is carried out, the host begins anew, and nothing is done twice."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        bench.host.delay_cycles = 20
        failed = 0
        for fault in (Fault.REFUSED, Fault.EMPTY, Fault.POISONED, Fault.LATE):
            for place in (0, 1, bench.rng.randint(2, 6)):
                bench.host.faults = [*[None] * place, fault]
                bench.echo(60)
                failed += 1
                assert bench.transport.failed_reads == failed, (fault, place)
                assert bench.errors() == LinkError(0)

    await run(dut, scenario)


@cocotb.test()
async def reads_that_keep_failing(dut: SimHandleBase) -> None:
    """Are an error after a few attempts, which says how they failed."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        bench.host.faults = [Fault.REFUSED] * 3
        try:
            bench.device.send(bench.commands(20))
        except ReadFailedError as error:
            assert str(error) == "the device could not read host memory: read refused"
        else:
            raise AssertionError("the device went on")
        bench.transport.restart()
        bench.start_epoch()
        bench.echo(20)
        bench.host.faults = [Fault.LOST]
        bench.transport._patience_s = 2e-5
        try:
            bench.device.send(bench.commands(20))
        except PcieLinkError as error:
            assert "reads of the device are not answered" in str(error), error
        else:
            raise AssertionError("an answer that never came was not missed")

    await run(dut, scenario)


@cocotb.test()
async def restart_under_load(dut: SimHandleBase) -> None:
    """The link is stopped at any time, with reads, reports and commands under way; then everything works as before."""

    def scenario(bench: Bench) -> None:
        bench.connect()
        bench.host.delay_cycles = 40
        for _ in range(8):
            bench.transport._use(by_ring=False)
            bench.write_windows(bench.commands(bench.rng.randint(0, 8)))
            bench.transport._post(bench.commands(bench.rng.randint(20, 60)), 0)
            bench.wait(bench.rng.randrange(5))
            bench.transport.restart()
            bench.start_epoch()
            bench.echo(bench.rng.randint(1, 30))

    await run(dut, scenario)


@cocotb.test()
async def function_reset_under_load(dut: SimHandleBase) -> None:
    """The function's reset stops the link; the host says so, and a new one can begin."""
    bench = await Bench(dut).boot()

    def load() -> None:
        bench.connect()
        bench.host.delay_cycles = 40
        bench.transport._post(bench.commands(60), 0)
        bench.wait(2)

    await bridge(load)()
    dut.cfg_flr_in_process.value = 1
    while not int(dut.cfg_flr_done.value):
        await RisingEdge(dut.clk)
    dut.cfg_flr_in_process.value = 0
    await ClockCycles(dut.clk, 2)

    def begin_anew() -> None:
        bench.transport._patience_s = 1e-5
        try:
            bench.device.receive()
        except PcieLinkError as error:
            assert "the device's link is stopped" in str(error)
        else:
            raise AssertionError("the reset was not noticed")
        bench.transport.close()
        bench.connect()
        bench.echo(30)

    await bridge(begin_anew)()


@cocotb.test()
async def interrupt_when_asked(dut: SimHandleBase) -> None:
    """One MSI-X message for each time the host asks, behind the report that it waits for."""
    bench = await Bench(dut).boot()
    host = bench.host
    await bridge(bench.connect)()
    await host.function.alloc_irq_vectors(1, 1)
    interrupts = []

    async def came() -> None:
        interrupts.append(get_sim_time("ns"))

    host.function.request_irq(0, came)

    def scenario() -> None:
        received = bench.transport._received
        bench.echo(2)
        assert interrupts == []
        bench.transport._write("interrupt_behind", received)
        bench.wait(4)
        assert len(interrupts) == 1  # the report is there already
        bench.transport._write("interrupt_behind", bench.transport._received)
        bench.wait(4)
        assert len(interrupts) == 1
        bench.echo(5)
        bench.wait(2)
        assert len(interrupts) == 2
        mask = INTERRUPT_TABLE_OFFSET + 12
        bench.access.write_word(mask, 1)
        bench.transport._write("interrupt_behind", bench.transport._received)
        bench.echo(1)
        bench.wait(4)
        assert len(interrupts) == 2
        bench.access.write_word(mask, 0)
        bench.wait(4)
        assert len(interrupts) == 3

    await bridge(scenario)()


@cocotb.test()
async def latency(dut: SimHandleBase) -> None:
    """How long the link takes for one command, in clock cycles; docs/pcie-link.md has these numbers."""
    bench = await Bench(dut).boot()
    taken: dict[str, list[int]] = {"m_axis_cq": [], "s_axis_rq": []}

    async def watch() -> None:
        while True:
            await RisingEdge(dut.clk)
            for prefix, cycles in taken.items():
                if getattr(dut, f"{prefix}_tvalid").value and getattr(dut, f"{prefix}_tready").value:
                    cycles.append(int(get_sim_time("ns")) // CLOCK_NS)

    def scenario() -> None:
        bench.connect()
        bench.wait(4)
        for cycles in taken.values():
            cycles.clear()
        command = bench.commands(1)
        resume(bench.host.bar.write)(WINDOWS_OFFSET, command.tobytes())
        bench.transport._sent += 1
        bench.wait(4)
        report = report_headers(bench.device.receive())[0]
        _, arrived = taken["m_axis_cq"][:2]
        beats = [cycle - arrived for cycle in taken["s_axis_rq"][:3]]
        core = int(report["exit_cycle"]) - int(report["entry_cycle"])
        log.info("%d cycles in the core; the report's beats come %s cycles behind the command's last", core, beats)
        assert beats == [core + cycles for cycles in LINK_CYCLES]

    cocotb.start_soon(watch())
    await bridge(scenario)()
