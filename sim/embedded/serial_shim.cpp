// The border between ctypes and a Verilated appliance behind its serial port: levels of a line in, levels out.

#include "Vbandgap.h"
#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

#include <cstddef>
#include <cstdint>

namespace {
constexpr int kResetCycles = 4;
}

struct Device {
    Device() : top(&context) {
        top.rx = 1;
        top.rst = 1;
        for (int i = 0; i < kResetCycles; ++i) cycle();
        top.rst = 0;
    }

    ~Device() { top.final(); }

    void cycle() {
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
    }

    VerilatedContext context;
    Vbandgap top;
};

#define BANDGAP_API extern "C" __attribute__((visibility("default")))

BANDGAP_API Device* bandgap_open() { return new Device; }

BANDGAP_API void bandgap_close(Device* device) { delete device; }

// One clock cycle for each level: 1 or 0 on `rx` before it, and on `tx` after it.
BANDGAP_API void bandgap_clock(Device* device, const std::uint8_t* rx, std::uint8_t* tx, std::size_t cycles) {
    for (std::size_t i = 0; i < cycles; ++i) {
        device->top.rx = rx[i];
        device->cycle();
        tx[i] = device->top.tx;
    }
}

BANDGAP_API int bandgap_quiet(const Device* device) { return device->top.quiet; }

#if VM_COVERAGE
BANDGAP_API void bandgap_write_coverage(Device* device, const char* path) { device->context.coveragep()->write(path); }
#endif
