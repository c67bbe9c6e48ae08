# Writes out/bandgap.bit, out/bandgap.mcs, out/timing.rpt and out/utilization.rpt; fails when the timing is not met.
cd [file dirname [file normalize [info script]]]
create_project -in_memory -part xcu50-fsvh2104-2-e
read_verilog -sv bandgap.v
read_xdc bandgap.xdc
source pcie.tcl
generate_target all [get_ips]
synth_ip [get_ips]
synth_design -top bandgap -part xcu50-fsvh2104-2-e
opt_design
place_design
phys_opt_design
route_design
file mkdir out
report_timing_summary -file out/timing.rpt
report_utilization -file out/utilization.rpt
foreach check {setup hold} {
    set slack [get_property SLACK [get_timing_paths -$check]]
    if {$slack < 0} {
        error "the timing is not met: the slack of $check is $slack ns, see out/timing.rpt"
    }
}
write_bitstream -force out/bandgap.bit
write_cfgmem -force -format mcs -size 128 -interface SPIx4 -loadbit {up 0x01002000 out/bandgap.bit} out/bandgap.mcs
