//! The board: GPU, power, clocks, memory, disk and time.

use trt_wire::{DeviceFacts, Finding, GpuSource};

use super::{advice, good, problem, size};
use crate::config::Config;
use crate::facts::{machine, power};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The start of 2024 in seconds since 1970: no agent is older, so an earlier clock is wrong.
const EARLIEST: u64 = 1_704_067_200;

pub fn check(config: &Config, facts: &DeviceFacts) -> Vec<Finding> {
    let swap = machine::swap(&config.facts_root);
    let mut findings = vec![gpu(config, facts)];
    findings.extend(int8(facts));
    findings.extend(power::Modes::read(&config.facts_root).map(|modes| power_mode(&modes)));
    findings.extend(facts.clocks_pinned.map(clocks));
    findings.extend([memory(facts.memory_total, swap), disk(config, facts.disk_free), clock(facts.time)]);
    findings
}

fn gpu(config: &Config, facts: &DeviceFacts) -> Finding {
    const CHECK: &str = "gpu";
    let gpu = match &facts.gpu {
        Ok(gpu) => gpu,
        Err(reason) => {
            let hint = match (config.default_runtime.worker.is_empty(), &facts.tensorrt) {
                (true, _) => {
                    "see that the NVIDIA driver is loaded and that the agent's user is in the groups `video` and `render`"
                }
                (false, Ok(_)) => {
                    "see that the `worker` of the agent's configuration gets the GPU, as with `docker run --runtime nvidia`"
                }
                (false, Err(_)) => {
                    "the `worker` of the agent's configuration is asked for it: mend what keeps it from TensorRT first"
                }
            };
            return problem(CHECK, format!("cannot be asked: {reason}"), hint);
        }
    };
    let [major, minor] = gpu.compute_capability;
    match gpu.source {
        GpuSource::Driver => {
            let driver = facts.cuda_driver.map(|[major, minor]| format!(", driver of CUDA {major}.{minor}"));
            let driver = driver.unwrap_or_default();
            good(CHECK, format!("{}, compute capability {major}.{minor}{driver}", gpu.name))
        }
        GpuSource::Configuration => match trt_plan::build_for(facts) {
            Err(error) => problem(CHECK, error.to_string(), error.hint().unwrap_or_default()),
            Ok(_) => advice(
                CHECK,
                format!("no driver answers; engines are built for compute capability {major}.{minor}"),
                "such engines are never tried here; remove `build-for` from the agent's configuration where there is a GPU",
            ),
        },
    }
}

fn int8(facts: &DeviceFacts) -> Option<Finding> {
    const CHECK: &str = "int8";
    let [major, minor] = facts.gpu.as_ref().ok()?.compute_capability;
    Some(match trt_plan::has_fast_int8([major, minor]) {
        true => good(CHECK, "the GPU has INT8 instructions"),
        false => advice(
            CHECK,
            format!(
                "a GPU of compute capability {major}.{minor} has no INT8 instructions: INT8 is slower than FP16"
            ),
            "ask for `precision: fp16`, or set `on-unsupported: fp16` for models that are INT8 elsewhere",
        ),
    })
}

fn power_mode(modes: &power::Modes) -> Finding {
    const CHECK: &str = "power mode";
    let Some(current) = modes.current() else {
        return advice(
            CHECK,
            format!("mode {} is set, which /etc/nvpmodel.conf does not define", modes.current_id()),
            "choose one that it does: `sudo nvpmodel -m ID`",
        );
    };
    match modes.faster() {
        None => good(CHECK, format!("{}, the fastest", current.name)),
        Some(faster) => advice(
            CHECK,
            format!("{}; {} is faster", current.name, faster.name),
            format!("`sudo nvpmodel -m {}`, if power supply and cooling allow it", faster.id),
        ),
    }
}

fn clocks(pinned: bool) -> Finding {
    const CHECK: &str = "clocks";
    match pinned {
        true => good(CHECK, "held at the power mode's highest"),
        false => advice(
            CHECK,
            "follow the load: the first inferences after a pause are slow, and TensorRT measures less evenly",
            "`sudo jetson_clocks` holds them until the next restart",
        ),
    }
}

/// A build of a usual network takes 2 to 4 GiB beside the system; without room the kernel kills it.
fn memory(total: u64, swap: machine::Swap) -> Finding {
    const CHECK: &str = "memory";
    // Boards of 4 GB and of 8 GB.
    const FIVE_GIB: u64 = 5 * GIB;
    const NINE_GIB: u64 = 9 * GIB;
    const ADD: &str = "add a swap file: `sudo fallocate -l 6G /swapfile && sudo chmod 600 /swapfile && sudo mkswap \
                       /swapfile && sudo swapon /swapfile`, and a line in /etc/fstab";
    let on_disk = swap.total - swap.zram;
    let has = match swap {
        machine::Swap { total: 0, .. } => format!("{}, no swap", size(total)),
        machine::Swap { total: swap, zram: 0 } => format!("{} and {} of swap", size(total), size(swap)),
        machine::Swap { total: swap, zram } => {
            format!("{} and {} of swap, {} of it zram", size(total), size(swap), size(zram))
        }
    };
    match total {
        0 => advice(CHECK, "how much there is cannot be told", "look at /proc/meminfo"),
        ..FIVE_GIB if swap.total == 0 => problem(CHECK, format!("{has}: large builds are killed"), ADD),
        ..FIVE_GIB if on_disk < 4 * GIB => advice(CHECK, format!("{has}: large builds may be killed"), ADD),
        ..NINE_GIB if swap.total == 0 => advice(CHECK, format!("{has}: large builds may be killed"), ADD),
        _ => good(CHECK, has),
    }
}

fn disk(config: &Config, free: u64) -> Finding {
    const CHECK: &str = "disk";
    const ROOM: &str =
        "remove what is not needed, or set `store` in the agent's configuration to a larger disk";
    let has = format!("{} free for {}", size(free), config.store.display());
    match free {
        0 => problem(
            CHECK,
            format!("nothing is free for {}, or it cannot be told", config.store.display()),
            ROOM,
        ),
        free if free < 512 * MIB => problem(CHECK, format!("{has}: builds will fail"), ROOM),
        free if free < 4 * GIB => advice(CHECK, format!("{has}: enough for a few engines"), ROOM),
        _ => good(CHECK, has),
    }
}

/// Boards without a battery begin at 1970, or when their system was made, until a time server answers.
fn clock(time: u64) -> Finding {
    const CHECK: &str = "clock";
    const YEAR: u64 = 31_556_952;
    match time {
        EARLIEST.. => good(CHECK, "not obviously wrong"),
        _ => problem(
            CHECK,
            format!(
                "says that it is {}: the journal's times and certificates will be wrong",
                1970 + time / YEAR
            ),
            "`sudo timedatectl set-ntp true`; without a network `sudo date -s \"2026-01-31 12:00\"`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use trt_wire::Health::{Advice, Good, Problem};

    use super::*;

    #[test]
    fn boards_of_4_gb_need_swap_that_is_not_memory() {
        for (gib, swap, zram, health) in [
            (4, 0, 0, Problem),
            (4, 2, 2, Advice),
            (4, 8, 2, Good),
            (4, 6, 0, Good),
            (8, 0, 0, Advice),
            (8, 4, 4, Good),
            (64, 0, 0, Good),
            (0, 0, 0, Advice),
        ] {
            let finding = memory(gib * GIB, machine::Swap { total: swap * GIB, zram: zram * GIB });
            assert_eq!(finding.health, health, "{gib} GiB, swap {swap}: {}", finding.message);
        }
    }

    #[test]
    fn a_clock_before_2024_is_wrong_and_its_year_is_said() {
        assert_eq!(clock(EARLIEST).health, Good);
        for (time, year) in [(0, "1970"), (1_517_400_000, "2018"), (EARLIEST - 86_400, "2023")] {
            let finding = clock(time);
            assert_eq!(finding.health, Problem);
            assert!(finding.message.contains(year), "{}", finding.message);
        }
    }
}
