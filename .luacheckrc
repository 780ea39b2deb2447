std = "lua54"
max_line_length = 120
include_files = { "lua/**/*.lua", "examples/**/*.lua", "tests/**/*.lua", ".luacheckrc" }
exclude_files = { "build", "lua/tunnel/meta.lua" }	-- declarations without bodies
files["tests/spec"] = { std = "+busted" }
