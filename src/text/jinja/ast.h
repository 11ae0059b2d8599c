#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace duet::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;
using FilterFunction = Value (*)(Runtime&, Args&);

enum class ExprKind : uint8_t {
  kConst,
  kName,
  kNamespaceRef,
  kTuple,
  kList,
  kDict,
  kNot,
  kNegate,
  kPlus,
  kBinary,
  kAnd,
  kOr,
  kConcat,
  kCompare,
  kCondition,
  kGetattr,
  kGetitem,
  kSlice,
  kFilter,
  kTest,
  kCall,
};
enum class BinaryOp : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp : uint8_t { kEq, kNe, kLt, kLtEq, kGt, kGtEq, kIn, kNotIn };

/// A variable as the resolver found it: `hops` functions outward, then the slot there.
struct VariableRef {
  int32_t hops = 0;
  int32_t slot = -1;
};

/// Whether printing escapes, known from the autoescape blocks around a node or only while rendering.
enum class Escape : uint8_t { kOff, kOn, kDynamic };

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr more_positional;  // *x
  ExprPtr more_keyword;     // **x
};

/// An expression. Which fields are used depends on the kind.
struct Expr {
  ExprKind kind = ExprKind::kConst;
  Escape escape = Escape::kOff;
  BinaryOp binary = BinaryOp::kAdd;
  bool negated_power = false;  // kBinary: the base is a negative constant, and -2 ** x is -(2 ** x) as in Python
  bool folded = false;  // computed when Jinja compiles; kGetitem: a slice of what has none is undefined; kFilter,
                        // kTest: a keyword given again by ** replaces the first
  bool joins_plainly = false;  // kConcat: what is joined is no marked text, whatever the parts are
  bool unknown_below = false;  // an unknown filter or test is here or below
  int32_t line = 1;
  int32_t depth = 1;
  Value constant;                  // kConst
  bool context_filter = false;     // kFilter: never constant
  std::string name;                // kName, kNamespaceRef, kGetattr, kFilter, kTest
  std::string attribute;           // kNamespaceRef
  VariableRef variable;            // kName, kNamespaceRef
  std::vector<ExprPtr> items;      // kTuple, kList, kDict (key, value, ...), kConcat, kCompare (the right sides)
  std::vector<CompareOp> compare;  // kCompare
  ExprPtr a, b, c;                 // operands; kCondition: test, then, else; kSlice: start, stop, step
  std::unique_ptr<CallArguments> arguments;  // kFilter, kTest, kCall
  FilterFunction function = nullptr;         // kFilter, kTest
};

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

enum class StmtKind : uint8_t {
  kOutput,
  kFor,
  kIf,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kSet,
  kSetBlock,
  kBlock,
  kAutoescape,
  kGeneration,
  kBreak,
  kContinue,
  kInclude,
  kExtends,
  kImport,
  kFromImport,
};

/// One way a slot gets its first value when a scope is entered.
struct ScopeLoad {
  enum class Kind : uint8_t { kResolve, kAlias, kUndefined };
  Kind kind;
  int32_t slot;        // of the current function
  std::string name;    // kResolve: looked up in the context
  VariableRef source;  // kAlias
};

/// What entering and leaving a scope does to the slots of its function.
struct Scope {
  std::vector<ScopeLoad> loads;
  std::vector<int32_t> slots;  // all of them, to be unset at the end
};

/// A macro, the body of a call or generation block, a recursive loop, the filter of a loop, a block or the template
/// itself: what has slots of its own.
struct FunctionInfo {
  int32_t slot_count = 0;
  Scope scope;
  std::vector<std::pair<std::string, int32_t>> parameters;        // name, slot
  int32_t caller_slot = -1, kwargs_slot = -1, varargs_slot = -1;  // where the body uses them
  bool accesses_caller = false;
  int32_t self_slot = -1, super_slot = -1;
};

/// A statement. Which fields are used depends on the kind.
struct Stmt {
  StmtKind kind = StmtKind::kOutput;
  Escape escape = Escape::kOff;  // kSetBlock
  bool recursive = false;        // kFor
  bool scoped = false;           // kBlock
  bool toplevel = false;         // kSet, kSetBlock, kMacro: the names go to the context as well
  bool ignore_missing = false;   // kInclude
  bool required = false;         // kBlock
  int32_t line = 1;
  std::string name;                     // kMacro, kBlock, kImport
  VariableRef variable;                 // kMacro, kImport
  std::vector<std::string> names;       // kFromImport: the aliases; scoped kBlock: the variables that it sees
  std::vector<VariableRef> variables;   // of `names`; empty slots are possible
  std::vector<ExprPtr> targets;         // kFor, kSet, kSetBlock: one; kWith: several
  std::vector<ExprPtr> values;          // kOutput, kWith, kSet; kFor: the iterable; kMacro, kCallBlock: defaults
  std::vector<std::string> parameters;  // kMacro, kCallBlock
  ExprPtr test;                         // kFor: the filter; kIf; kAutoescape: the flag
  ExprPtr call;                         // kCallBlock: the call; kFilterBlock, kSetBlock: the filter
  Body body, else_body;                 // kIf: `elif` is an if in `elifs`
  Body elifs;
  Scope scope, else_scope;
  int32_t loop_slot = -1;                       // kFor: the variable `loop`, if it is used
  std::unique_ptr<FunctionInfo> function;       // kMacro, kCallBlock, kGeneration, kBlock, recursive kFor
  std::unique_ptr<FunctionInfo> test_function;  // kFor with a filter
};

/// A whole template, ready to be rendered. Blocks stand in the body where they are printed and are found by name as
/// well.
struct Program {
  Body body;
  FunctionInfo function;
  std::vector<const Stmt*> blocks;
  bool has_generation = false;
};

}  // namespace duet::jinja
