// From a class file to its syntax tree.
#ifndef SOM_PARSER_H_
#define SOM_PARSER_H_

#include <memory>
#include <string>
#include <string_view>

#include "ast.h"
#include "lexer.h"

namespace som {

/// Parses one class definition. Null, and `error` says why, if the text is none.
std::unique_ptr<ClassNode> ParseClass(const std::string& file, std::string_view source,
                                      SourceError* error);

/// The same with one method.
std::unique_ptr<MethodNode> ParseMethod(const std::string& file, std::string_view source,
                                        SourceError* error);

}  // namespace som

#endif  // SOM_PARSER_H_
