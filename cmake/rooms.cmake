# A room is a static library made of one folder (docs/ has a page on each). Arrows between rooms may only point
# down (DESIGN.md, section 2), so each names the rooms that it may include from, and no others link.

add_library(basilisk_flags INTERFACE)
target_include_directories(basilisk_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(basilisk_flags INTERFACE _GNU_SOURCE BASILISK_VERSION="${PROJECT_VERSION}")
target_compile_options(basilisk_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
                       -Wvla -fno-common)
if(BASILISK_WERROR)
    target_compile_options(basilisk_flags INTERFACE -Werror)
endif()
if(BASILISK_SANITIZE)
    target_compile_options(basilisk_flags INTERFACE -fsanitize=${BASILISK_SANITIZE} -fno-omit-frame-pointer
                           -fno-sanitize-recover=all)
    target_link_options(basilisk_flags INTERFACE -fsanitize=${BASILISK_SANITIZE})
endif()

if(BASILISK_FUZZ) # what the fuzzer steers by
    target_compile_options(basilisk_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# bsk_room(NAME SOURCES a.c b.c [USES other rooms or packages])
function(bsk_room name)
    cmake_parse_arguments(ROOM "" "" "SOURCES;USES" ${ARGN})
    add_library(${name} STATIC ${ROOM_SOURCES})
    target_link_libraries(${name} PUBLIC ${ROOM_USES} PRIVATE basilisk_flags)
endfunction()

# bsk_test(NAME SOURCES test_x.c USES rooms): one cmocka program, one ctest entry.
function(bsk_test name)
    cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;USES;LABELS" ${ARGN})
    if(NOT TEST_TIMEOUT)
        set(TEST_TIMEOUT 60)
    endif()
    add_executable(${name} ${TEST_SOURCES})
    target_link_libraries(${name} PRIVATE ${TEST_USES} PkgConfig::CMOCKA basilisk_flags)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "unit;${TEST_LABELS}")
endfunction()
