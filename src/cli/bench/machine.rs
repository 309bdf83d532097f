//! What the machine tells of itself.

use foveate::bench::Machine;

/// This machine.
pub fn here() -> Machine {
    let refresh = sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing());
    let system = sysinfo::System::new_with_specifics(refresh).ok();
    let first = system.as_ref().and_then(|system| system.cpus().first());
    let brand = first.map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default();
    Machine {
        os: sysinfo::System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned()),
        arch: std::env::consts::ARCH.to_owned(),
        cpu: if brand.is_empty() { "unknown".to_owned() } else { brand },
        threads: rayon::current_num_threads(),
        power: power(),
        browser: None,
    }
}

/// `mains` or `battery`, from what Linux says; other systems have no file to read it from.
fn power() -> Option<String> {
    let supplies = std::fs::read_dir("/sys/class/power_supply").ok()?;
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let supplies: Vec<[String; 3]> = supplies
        .filter_map(Result::ok)
        .map(|supply| ["type", "online", "status"].map(|file| read(supply.path().join(file))))
        .collect();
    source(&supplies).map(str::to_owned)
}

/// From each supply's type, whether it is online, and its status.
fn source(supplies: &[[String; 3]]) -> Option<&'static str> {
    let mains = |[kind, online, _]: &[String; 3]| ["Mains", "USB"].contains(&kind.as_str()) && online == "1";
    let drained = |[kind, _, status]: &[String; 3]| kind == "Battery" && status == "Discharging";
    if supplies.iter().any(drained) {
        Some("battery")
    } else if supplies.iter().any(mains) {
        Some("mains")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_comes_from_what_is_drained_or_plugged_in() {
        let supply = |kind: &str, online: &str, status: &str| [kind, online, status].map(str::to_owned);
        let battery = |status| supply("Battery", "", status);
        assert_eq!(source(&[]), None);
        assert_eq!(source(&[battery("Discharging"), supply("Mains", "0", "")]), Some("battery"));
        assert_eq!(source(&[battery("Charging"), supply("Mains", "1", "")]), Some("mains"));
        assert_eq!(source(&[battery("Full"), supply("USB", "1", "")]), Some("mains"));
        assert_eq!(source(&[battery("Full")]), None);
    }

    #[test]
    fn this_machine_has_a_name() {
        let machine = here();
        assert!(!machine.os.is_empty() && !machine.cpu.is_empty() && machine.threads > 0, "{machine:?}");
    }
}
