// The border between ctypes and the Verilated appliance: whole buffers in, whole buffers out.
//
// One clock cycle is: set the inputs, evaluate (clock low), sample the handshakes, raise the clock. A message moves
// over a port when its valid and ready are both 1 at the rising edge. The time of the appliance stands still unless a
// command's arrival or `bandgap_advance` moves it.

#include "Vbandgap.h"
#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace {

constexpr std::size_t kCommandBytes = 32;
constexpr std::size_t kReportBytes = 64;
constexpr std::uint64_t kNanosecondsPerCycle = 10;  // only for the time axis of waves
constexpr int kResetCycles = 4;

// Random stalls of both ports, for verification: a xorshift generator, one bit a question.
class Stalls {
  public:
    explicit Stalls(std::uint64_t seed) : state_(seed) {}
    bool next() {
        if (state_ == 0) return false;
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return (state_ >> 32) & 1;
    }

  private:
    std::uint64_t state_;
};

}  // namespace

struct Device {
    Device(const char* waves, std::uint64_t stall_seed, std::uint64_t patience_cycles, std::uint32_t memory_seed)
        : top(&filled(context, memory_seed)), stalls(stall_seed), patience(patience_cycles) {
#if VM_TRACE
        context.traceEverOn(true);
        top.trace(&trace, 99);
        trace.open(waves);
#else
        (void)waves;
#endif
        top.command_valid = 0;  // a memory seed fills inputs too
        top.register_write_enable = 0;
        top.register_read_enable = 0;
        top.time_ns = 0;
        top.rst = 1;
        for (int i = 0; i < kResetCycles; ++i) cycle();
        top.rst = 0;
    }

    ~Device() {
#if VM_TRACE
        trace.close();
#endif
        top.final();
    }

    // What memories hold before anything is written to them: zeros, or with a seed anything.
    static VerilatedContext& filled(VerilatedContext& context, std::uint32_t memory_seed) {
        context.randReset(memory_seed ? 2 : 0);
        context.randSeed(static_cast<int>(memory_seed));
        return context;
    }

    // One clock cycle. Returns whether the command that is presented was taken.
    bool cycle() {
        top.report_ready = taking && !stalls.next();
        top.clk = 0;
        top.eval();
        dump(0);
        const bool taken = top.command_valid && top.command_ready && !top.rst;
        const bool reported = top.report_valid && top.report_ready && !top.rst;
        if (reported) {
            const std::size_t end = reports.size();
            reports.resize(end + kReportBytes);
            std::memcpy(reports.data() + end, top.report_data.data(), kReportBytes);
        }
        waited = taken || reported ? 0 : waited + 1;
        talked = taken ? 0 : talked + reported;
        top.clk = 1;
        top.eval();
        dump(kNanosecondsPerCycle / 2);
        ++cycles;
        return taken;
    }

    bool send(const std::uint8_t* commands, std::size_t count, const std::uint64_t* arrivals, std::uint8_t link) {
        top.command_link = link;
        waited = talked = 0;
        dumping = true;
        for (std::size_t i = 0; i < count; ++i) {
            top.time_ns = arrivals[i];
            std::memcpy(top.command_data.data(), commands + i * kCommandBytes, kCommandBytes);
            while (stalls.next()) cycle();
            top.command_valid = 1;
            while (!cycle()) {
                if (hung()) return false;
            }
            top.command_valid = 0;
        }
        return true;
    }

    // Offers commands at a time for exactly so many cycles, whatever comes of it; returns how many were taken.
    std::size_t offer(const std::uint8_t* commands, std::size_t count, std::uint64_t time_ns, std::uint8_t link,
                      std::uint64_t duration, bool take_reports) {
        top.time_ns = time_ns;
        taking = take_reports;
        top.command_link = link;
        std::size_t taken = 0;
        for (const std::uint64_t end = cycles + duration; cycles < end;) {
            top.command_valid = taken < count;
            if (top.command_valid) std::memcpy(top.command_data.data(), commands + taken * kCommandBytes, kCommandBytes);
            taken += cycle();
        }
        top.command_valid = 0;
        taking = true;
        return taken;
    }

    bool settle() {
        waited = talked = 0;
        do {
            cycle();
            if (hung()) return false;
        } while (!idle());
        return true;
    }

    bool hung() const { return waited > patience || talked > patience; }

    bool idle() {
        top.clk = 0;
        top.eval();
        return top.idle;
    }

    void dump([[maybe_unused]] std::uint64_t offset_ns) {
#if VM_TRACE
        if (dumping) trace.dump(cycles * kNanosecondsPerCycle + offset_ns);
#endif
    }

    VerilatedContext context;
    Vbandgap top;
    Stalls stalls;
    const std::uint64_t patience;
    std::uint64_t waited = 0;  // cycles since anything moved
    std::uint64_t talked = 0;  // reports since a command was taken
    std::uint64_t cycles = 0;
    bool taking = true;    // reports are taken, stalls aside
    bool dumping = false;  // waves begin with the first command: clearing the memories would be most of them
    std::vector<std::uint8_t> reports;
#if VM_TRACE
    Trace trace;
#endif
};

#define BANDGAP_API extern "C" __attribute__((visibility("default")))

BANDGAP_API Device* bandgap_open(const char* waves, std::uint64_t stall_seed, std::uint64_t patience_cycles,
                                 std::uint32_t memory_seed) {
    return new Device(waves, stall_seed, patience_cycles, memory_seed);
}

BANDGAP_API void bandgap_close(Device* device) { delete device; }

// Returns 1 when the appliance took no command and either gave no report for longer than the patience or gave more
// reports than that, else 0.
BANDGAP_API int bandgap_send(Device* device, const std::uint8_t* commands, std::size_t count,
                             const std::uint64_t* arrivals, std::uint8_t link) {
    return device->send(commands, count, arrivals, link) ? 0 : 1;
}

BANDGAP_API std::size_t bandgap_offer(Device* device, const std::uint8_t* commands, std::size_t count,
                                      std::uint64_t time_ns, std::uint8_t link, std::uint64_t duration,
                                      int take_reports) {
    return device->offer(commands, count, time_ns, link, duration, take_reports != 0);
}

// Clocks until nothing is in flight; 1 when that takes longer than the patience.
BANDGAP_API int bandgap_settle(Device* device) { return device->settle() ? 0 : 1; }

BANDGAP_API int bandgap_advance(Device* device, std::uint64_t time_ns) {
    if (!device->settle()) return 1;
    device->top.time_ns = time_ns;
    return device->settle() ? 0 : 1;
}

BANDGAP_API std::uint64_t bandgap_time(const Device* device) { return device->top.time_ns; }

BANDGAP_API std::uint64_t bandgap_cycles(const Device* device) { return device->cycles; }

BANDGAP_API std::size_t bandgap_pending(const Device* device) { return device->reports.size() / kReportBytes; }

BANDGAP_API void bandgap_take(Device* device, std::uint8_t* reports) {
    if (!device->reports.empty()) std::memcpy(reports, device->reports.data(), device->reports.size());
    device->reports.clear();
}

BANDGAP_API std::uint32_t bandgap_read(Device* device, std::uint16_t offset) {
    device->top.register_address = offset;
    device->top.register_read_enable = 1;
    device->top.clk = 0;
    device->top.eval();
    const std::uint32_t value = device->top.register_read_data;
    device->cycle();  // what reading does, such as latching the high word of a pair, it does at the edge
    device->top.register_read_enable = 0;
    return value;
}

BANDGAP_API void bandgap_write(Device* device, std::uint16_t offset, std::uint32_t value) {
    device->top.register_address = offset;
    device->top.register_write_data = value;
    device->top.register_write_enable = 1;
    device->cycle();
    device->top.register_write_enable = 0;
}

#if VM_COVERAGE
BANDGAP_API void bandgap_write_coverage(Device* device, const char* path) {
    device->context.coveragep()->write(path);
}
#endif
