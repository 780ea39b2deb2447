-- Finds the sources and the module; scripts/test and CMake set the paths.
local root = os.getenv("TH_SOURCE_DIR") or "."
local build = os.getenv("TH_BINARY_DIR") or root .. "/build/dev"

package.path = ("%s/lua/?.lua;%s/lua/?/init.lua;%s/tests/spec/?.lua;"):format(root, root, root)
  .. package.path
package.cpath = build .. "/lua/?.so;" .. package.cpath

return { root = root, build = build }
