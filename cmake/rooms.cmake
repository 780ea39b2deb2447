# How every room, test and fuzz target is compiled, in one place.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
	set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

set(TH_SANITIZE "" CACHE STRING "-fsanitize= list, empty for none")
option(TH_FUZZ "Build libFuzzer targets (clang)" OFF)

# Assertions stay in: a programmer's mistake must not go on as data.
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-Wall -Wextra -Wswitch-enum -Wmissing-prototypes -Wvla
	-Wconversion -Werror -fno-strict-aliasing -fvisibility=hidden)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	# GCC 12 does not see that a pointer is cleared before what it points
	# at dies (core/watch/watch.c), and follows writers past the check
	# that they have room (core/base/cursor.h).
	add_compile_options(-Wno-dangling-pointer -Wno-stringop-overflow)
endif()
if(TH_SANITIZE)
	add_compile_options(-fsanitize=${TH_SANITIZE} -fno-omit-frame-pointer
		-fno-sanitize-recover=all)
	add_link_options(-fsanitize=${TH_SANITIZE})
endif()
if(TH_FUZZ)
	add_compile_options(-fsanitize=fuzzer-no-link)
endif()
include_directories(${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})

# room(NAME SOURCES a.c … USES other-room … LIBS library …)
# One static library. Rooms below a room (tailnet/derp) are tailnet_derp.
function(room name)
	cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBS" ${ARGN})
	add_library(th_${name} STATIC ${ARG_SOURCES})
	foreach(other ${ARG_USES})
		target_link_libraries(th_${name} PUBLIC th_${other})
	endforeach()
	target_link_libraries(th_${name} PUBLIC ${ARG_LIBS})
endfunction()

# unit_test(NAME SOURCES a.c … USES room …): a cmocka program, in ctest.
function(unit_test name)
	cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBS" ${ARGN})
	add_executable(${name} ${ARG_SOURCES})
	foreach(other ${ARG_USES})
		target_link_libraries(${name} PRIVATE th_${other})
	endforeach()
	target_link_libraries(${name} PRIVATE ${ARG_LIBS} PkgConfig::CMOCKA m)
	add_test(NAME ${name} COMMAND ${name})
	set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()

# fuzz_target(NAME SOURCE USES room …): LLVMFuzzerTestOneInput in SOURCE.
# Everywhere: a program that runs the corpus tests/fuzz/corpus/NAME once, in
# ctest. With the fuzz preset: a libFuzzer binary.
function(fuzz_target name source)
	cmake_parse_arguments(ARG "" "" "USES;LIBS" ${ARGN})
	add_executable(fuzz_${name} ${source})
	foreach(other ${ARG_USES})
		target_link_libraries(fuzz_${name} PRIVATE th_${other})
	endforeach()
	target_link_libraries(fuzz_${name} PRIVATE ${ARG_LIBS})
	if(TH_FUZZ)
		target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
	else()
		target_sources(fuzz_${name} PRIVATE
			${PROJECT_SOURCE_DIR}/tests/fuzz/replay_corpus.c)
		add_test(NAME fuzz_${name} COMMAND fuzz_${name}
			${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
		set_tests_properties(fuzz_${name} PROPERTIES TIMEOUT 120)
	endif()
endfunction()
