# Compiler flags and dependencies. Every library of ours links `answerd_flags`; nothing is set globally.

option(ANSWERD_WARNINGS_ARE_ERRORS "Fail the build on a compiler warning" OFF)
option(ANSWERD_COVERAGE "Count executed lines for gcov" OFF)
option(ANSWERD_FUZZ "Build the libFuzzer targets of tests/fuzz (clang only)" OFF)
set(ANSWERD_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")

# Assertions stay on in the release: what was tested is what runs. (CMake's default adds -DNDEBUG.)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_RELEASE "-O2" CACHE STRING "" FORCE)

add_library(answerd_flags INTERFACE)
target_include_directories(answerd_flags INTERFACE "${PROJECT_SOURCE_DIR}/server")
target_compile_definitions(answerd_flags INTERFACE _GNU_SOURCE ANSWERD_VERSION="${PROJECT_VERSION}")
target_compile_options(answerd_flags INTERFACE
    -Wall
    -Wextra
    -Wshadow
    -Wconversion          # also signs: sizes from outside must not turn negative silently
    -Wstrict-prototypes
    -Wmissing-prototypes  # a function is static or has a header
    -Wformat=2
    -Wno-format-zero-length # log_info("stopped", "") has no fields
    -Wvla                 # stack use must not depend on input
    -Wpointer-arith
    -Wwrite-strings
    -Wundef
    -Wcast-qual
    -Wdouble-promotion
    -fno-common
    # sqlite, curl and the kernel do the same: code that relies on type punning through pointers fails rarely and late
    -fno-strict-aliasing
    -fstack-protector-strong)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(answerd_flags INTERFACE -Wlogical-op -Wduplicated-cond -fstack-clash-protection)
endif()
if(ANSWERD_WARNINGS_ARE_ERRORS)
    target_compile_options(answerd_flags INTERFACE -Werror)
endif()

if(ANSWERD_SANITIZE)
    target_compile_options(answerd_flags INTERFACE
        -fsanitize=${ANSWERD_SANITIZE}
        -fno-omit-frame-pointer
        -O1) # twice as fast as -O0 under the sanitizers, and data-flow warnings need it
    target_link_options(answerd_flags INTERFACE -fsanitize=${ANSWERD_SANITIZE})
    if(ANSWERD_SANITIZE MATCHES "undefined")
        target_compile_options(answerd_flags INTERFACE -fno-sanitize-recover=undefined) # a test that reports must fail
    endif()
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    # Needs optimization, and hides accesses from the sanitizers.
    target_compile_definitions(answerd_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(ANSWERD_COVERAGE)
    target_compile_options(answerd_flags INTERFACE --coverage -fprofile-update=atomic -O0)
    target_link_options(answerd_flags INTERFACE --coverage)
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
target_link_options(answerd_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,--as-needed)

# The least versions stand in server/io/library_versions.c, too: what is loaded may be older than what was built with.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0.3 REQUIRED) # the first 3.x whose HMAC contexts can be used again
find_package(PkgConfig REQUIRED)
# Debian's 2.1.12 carries the fixes of 2.1.13; the version cannot tell, tests/unit/io/http_server_test.c can.
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent_core>=2.1.12 libevent_extra>=2.1.12 libevent_openssl>=2.1.12)
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET libpq>=14) # PQ pipeline mode and trace came with 14
pkg_check_modules(LIBCURL REQUIRED IMPORTED_TARGET libcurl>=7.85) # CURLOPT_PROTOCOLS_STR
if(LIBCURL_VERSION VERSION_EQUAL 8.9.0 OR LIBCURL_VERSION VERSION_EQUAL 8.20.0)
    message(FATAL_ERROR "libcurl ${LIBCURL_VERSION} spins for ever in programs like this one; install a version before or after it")
endif()
pkg_check_modules(LUA REQUIRED IMPORTED_TARGET lua5.4)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.14) # json_object_getn
# Events come and go as thousands of small blocks, which libc takes a quarter of the time for. Sanitizers and gcov bring or need
# their own.
add_library(answerd_allocator INTERFACE)
if(NOT ANSWERD_SANITIZE AND NOT ANSWERD_COVERAGE)
    pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc>=5.2)
    target_link_libraries(answerd_allocator INTERFACE PkgConfig::JEMALLOC)
    target_compile_definitions(answerd_allocator INTERFACE ANSWERD_JEMALLOC)
endif()
if(BUILD_TESTING)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()

# answerd_layer(NAME SOURCES… LINKS targets…): one folder of server/ as a static library.
function(answerd_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 layer "" "" "SOURCES;LINKS")
    add_library(answerd_${name} STATIC ${layer_SOURCES})
    target_link_libraries(answerd_${name} PUBLIC ${layer_LINKS} PRIVATE answerd_flags)
endfunction()
