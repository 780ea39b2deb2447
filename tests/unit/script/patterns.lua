-- The budgeted matcher against what the manual says.
local check = require "check"
local t = {}

local function all(...)
  return table.concat({ ... }, ",")
end

function t.find()
  check.equal("2,3", all(("abcd"):find("bc")))
  check.equal("2,2,b", all(("abcd"):find("(b)")))
  check.equal("3,3", all(("a.c"):find("c", 3)))
  check.equal("2,2", all(("a.c"):find(".", 2, true)))
  check.equal(nil, (("abc"):find("b", 4)))
  check.equal("4,3", all(("abc"):find("", 4)))
  check.equal(nil, (("abc"):find("", 5)))
  check.equal("1,0", all((""):find("")))
  check.equal("3,3", all(("abc"):find("c", -1)))
  check.equal(nil, (("abc"):find("^b")))
  check.equal("3,3", all(("abc"):find("c$")))
  check.equal("2,2", all(("a$c"):find("$", 1, true)))
end

function t.items()
  check.equal("ab12", ("--ab12--"):match("%w+"))
  check.equal("", ("abc"):match("%d*"))
  check.equal("x", ("<x>"):match("<(.-)>"))
  check.equal("a]", ("xa]"):match("[]a]+"))
  check.equal("-", ("a-b"):match("[^%w]"))
  check.equal("b-d", ("ab-d"):match("[b-d-]+"))
  check.equal("ab", ("ab"):match("a?b?c?"))
  check.equal("(f(x))", ("a(f(x))b"):match("%b()"))
  check.equal("THE", ("THE (quick) fox"):match("%f[%a]%a+"))
  check.equal("aa", ("xaay"):match("(a)%1") .. "a")
  check.equal("1,4", all(("abc"):match("()abc()")))
  check.equal("k,v", all(("k=v"):match("(%w+)=(%w+)")))
  check.equal("\0b", ("a\0b"):match("%z?\0b"))
end

function t.gsub()
  check.equal("hexxo,2", all(("hello"):gsub("l", "x")))
  check.equal("h-e-l-l-o-,5", all(("hello"):gsub(".", "%0-")))
  check.equal("-a-b-,3", all(("ab"):gsub("", "-")))
  check.equal("xbxb,2", all(("abab"):gsub("a", { a = "x" })))
  check.equal("abab,2", all(("abab"):gsub("a", function() end)))
  check.equal("xbab,1", all(("abab"):gsub("a", "x", 1)))
  check.equal("xab,1", all(("aab"):gsub("^a", "x")))
  check.equal("ba,1", all(("ab"):gsub("(a)(b)", "%2%1")))
  check.equal("%,1", all(("a"):gsub("a", "%%")))
  check.equal("abc,0", all(("abc"):gsub("%w", "x", 0)))
  check.raises("invalid use of '%'", string.gsub, "a", "a", "%x")
  check.raises("invalid replacement value", string.gsub, "a", "a", function() return {} end)
end

function t.gmatch()
  local words = {}
  for w in ("one two  three"):gmatch("%a+") do words[#words + 1] = w end
  check.equal("one,two,three", table.concat(words, ","))
  local count = 0
  for _ in ("abc"):gmatch("") do count = count + 1 end
  check.equal(4, count)
  local pairs_ = {}
  for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do pairs_[#pairs_ + 1] = k .. v end
  check.equal("a1b2", table.concat(pairs_))
  check.equal("b", ("abc"):gmatch("%w", 2)())
end

function t.malformed()
  check.raises("missing ']'", string.find, "a", "[a")
  check.raises("missing ']'", string.find, "a", "[%")
  check.raises("ends with '%'", string.find, "a", "%")
  check.raises("unfinished capture", string.find, "a", "(a")
  check.raises("invalid pattern capture", string.match, "a", "a)")
  check.raises("invalid capture index", string.find, "a", "%1")
  check.raises("missing arguments to '%b'", string.find, "a", "%b")
  check.raises("missing '['", string.find, "a", "%f")
  check.raises("too many captures", string.find, "a", ("()"):rep(33))
  check.raises("too complex", string.find, ("a"):rep(300), ("a?"):rep(250))
end

function t.rep()
  check.equal("a,a,a", ("a"):rep(3, ","))
  check.equal("", ("a"):rep(0))
  check.equal("", ("a"):rep(-1))
  check.equal("abababab", ("ab"):rep(4))
  check.equal("a", ("a"):rep(1, "xx"))
  check.raises("too large", string.rep, "x", 1 << 40)
end

function t.tables()
  local list = { 3, 1, 2 }
  table.sort(list)
  check.equal("1,2,3", table.concat(list, ","))
  table.sort(list, function(a, b) return a > b end)
  check.equal("3,2,1", table.concat(list, ","))
  table.insert(list, 1, 9)
  check.equal(9, table.remove(list, 1))
  check.equal("2,1", table.concat(table.move(list, 2, 3, 1, {}), ","))
end

return check.app(t)
