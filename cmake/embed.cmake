# bsk_embed(OUT_VARIABLE SYMBOL FILE): a C source, made while configuring and anew when FILE changes, that holds
# FILE as `const char SYMBOL[]` with a terminating zero. Whoever uses it declares it.
function(bsk_embed out symbol file)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(REGEX REPLACE "((0x..,){20})" "\\1\n" bytes "${bytes}")
    file(CONFIGURE OUTPUT ${source} CONTENT "extern const char ${symbol}[];\nconst char ${symbol}[] = {\n@bytes@0};\n" @ONLY)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    set(${out} ${source} PARENT_SCOPE)
endfunction()
