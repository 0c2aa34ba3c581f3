# embed_text(TARGET OUTPUT_C SYMBOL [BASES FOLDERS... FILES] FILES...)
#
# Adds the text of FILES to TARGET as constants, so that the program needs no files beside it. OUTPUT_C is the name of
# the generated source, in the build tree; a header of the same name (".h") is made next to it:
#
#   extern const struct embedded_text SYMBOL[];   in the order of FILES; see base/embedded_text.h
#   extern const size_t SYMBOL_count;
#
# A file's name is that without its folder; with BASES it is the path below the first of these folders that holds it.

function(embed_text target output symbol)
    cmake_path(GET output STEM stem)
    set(generated "${CMAKE_CURRENT_BINARY_DIR}/embedded")
    cmake_parse_arguments(PARSE_ARGV 3 given "" "" "BASES;FILES")
    set(files)
    foreach(file IN LISTS given_UNPARSED_ARGUMENTS given_FILES)
        cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
        list(APPEND files "${file}")
    endforeach()
    # A list would be split into arguments on its way to the script.
    string(REPLACE ";" "|" joined "${files}")
    string(REPLACE ";" "|" bases "${given_BASES}")
    add_custom_command(
        OUTPUT "${generated}/${stem}.c" "${generated}/${stem}.h"
        COMMAND ${CMAKE_COMMAND} "-DSOURCE=${generated}/${stem}.c" "-DHEADER=${generated}/${stem}.h"
                "-DSYMBOL=${symbol}" "-DFILES=${joined}" "-DBASES=${bases}" -P "${PROJECT_SOURCE_DIR}/cmake/WriteEmbeddedText.cmake"
        DEPENDS ${files} "${PROJECT_SOURCE_DIR}/cmake/WriteEmbeddedText.cmake"
        COMMENT "Embedding ${symbol}"
        VERBATIM)
    target_sources(${target} PRIVATE "${generated}/${stem}.c" "${generated}/${stem}.h")
    target_include_directories(${target} PUBLIC "${generated}")
endfunction()
