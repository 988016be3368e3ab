#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| almoner_fuzzing::check("nested", data));
