;; Valid WebAssembly that no Envoy loads: it imports a function that the host does not have. A hub can know this from the
;; bytes, before anything is sent to a proxy.
(module
  (import "env" "proxy_read_the_future" (func $read_the_future (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32) (i32.const 64))
  (func (export "proxy_on_response_headers") (param $context i32) (param $headers i32) (param $end i32) (result i32)
    (call $read_the_future)))
