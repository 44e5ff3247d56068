;; What the component exports, and which functions of its module stand behind it. wrap.py puts the module that was built in the place of
;; $module here, which has the same exports and does nothing.
(component
  (core module $module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "done") (param i32))
    (func (export "total") (param i32 i32) (result i32) unreachable)
    (func (export "series") (param i32 i32) (result i32) unreachable)
    (func (export "product_accumulate") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "product_merge") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "product_finish") (param i32 i32) (result i32) unreachable)
    (func (export "mean_accumulate") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "mean_merge") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "mean_finish") (param i32 i32) (result i32) unreachable)
  )
  (core instance $i (instantiate $module))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "cabi_realloc" (core func $realloc))
  (alias core export $i "done" (core func $done))

  ;; Lists of bytes come as a pointer and a length, and an answer goes as a pointer to whether it is an error, a pointer and a length.
  (func $total (param "arguments" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "total") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))
  (func $series (param "arguments" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "series") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))
  (func $product-accumulate (param "state" (list u8)) (param "arguments" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "product_accumulate") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))
  (func $product-merge (param "a" (list u8)) (param "b" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "product_merge") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))
  (func $product-finish (param "state" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "product_finish") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))
  (func $mean-accumulate (param "state" (list u8)) (param "arguments" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "mean_accumulate") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))
  (func $mean-merge (param "a" (list u8)) (param "b" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "mean_merge") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))
  (func $mean-finish (param "state" (list u8)) (result (result (list u8) (error string)))
    (canon lift (core func $i "mean_finish") (memory $memory) (realloc (core func $realloc)) (post-return (core func $done))))

  (instance $product
    (export "accumulate" (func $product-accumulate)) (export "merge" (func $product-merge)) (export "finish" (func $product-finish)))
  (instance $mean
    (export "accumulate" (func $mean-accumulate)) (export "merge" (func $mean-merge)) (export "finish" (func $mean-finish)))

  (export "total" (func $total))
  (export "series" (func $series))
  (export "product" (instance $product))
  (export "geometric-mean" (instance $mean))
)
