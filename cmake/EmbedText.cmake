# embed_text(TARGET OUTPUT_C SYMBOL FILES...)
#
# Adds the text of FILES to TARGET as constants, so that the program needs no files beside it. OUTPUT_C is the name of
# the generated source, in the build tree; a header of the same name (".h") is made next to it:
#
#   extern const struct embedded_text SYMBOL[];   in the order of FILES; see base/embedded_text.h
#   extern const size_t SYMBOL_count;

function(embed_text target output symbol)
    cmake_path(GET output STEM stem)
    set(generated "${CMAKE_CURRENT_BINARY_DIR}/embedded")
    set(files)
    foreach(file IN LISTS ARGN)
        cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
        list(APPEND files "${file}")
    endforeach()
    # A list would be split into arguments on its way to the script.
    string(REPLACE ";" "|" joined "${files}")
    add_custom_command(
        OUTPUT "${generated}/${stem}.c" "${generated}/${stem}.h"
        COMMAND ${CMAKE_COMMAND} "-DSOURCE=${generated}/${stem}.c" "-DHEADER=${generated}/${stem}.h"
                "-DSYMBOL=${symbol}" "-DFILES=${joined}" -P "${PROJECT_SOURCE_DIR}/cmake/WriteEmbeddedText.cmake"
        DEPENDS ${files} "${PROJECT_SOURCE_DIR}/cmake/WriteEmbeddedText.cmake"
        COMMENT "Embedding ${symbol}"
        VERBATIM)
    target_sources(${target} PRIVATE "${generated}/${stem}.c" "${generated}/${stem}.h")
    target_include_directories(${target} PUBLIC "${generated}")
endfunction()
