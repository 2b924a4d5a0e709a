;; A well-formed filter that answers false to every configuration. Nothing in its bytes can tell: only a proxy that tries
;; it finds out, and refuses it while its traffic stays with the filter it has.
(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32) (i32.const 64))
  (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_headers") (param $context i32) (param $headers i32) (param $end i32) (result i32) (i32.const 0)))
