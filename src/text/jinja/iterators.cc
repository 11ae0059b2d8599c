#include "text/jinja/iterators.h"

#include "text/jinja/loop.h"

#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

/// Walks a list, tuple, range, dict or view, forward or backward.
class IndexIterator final : public Iterator {
 public:
  IndexIterator(Value source, int64_t length, bool backward)
      : source_(std::move(source)), length_(length), backward_(backward) {
    depth = source_.depth();
  }
  std::string type_name() const override {
    const std::string direction = backward_ ? "reverse" : "";
    return source_.is(Type::kList) ? "list_" + direction + "iterator" : direction + "iterator";
  }
  bool next(Runtime& runtime, Value& out) override {
    if (position_ >= length_) return false;
    const int64_t index = backward_ ? length_ - 1 - position_ : position_;
    ++position_;
    runtime.budget.items(1);
    const auto at = static_cast<size_t>(index);
    switch (source_.type()) {
      case Type::kList:
      case Type::kTuple:
        out = source_.items()[at];
        break;
      case Type::kRange:
        out = Value::integer(source_.as<Range>().at(index));
        break;
      case Type::kDict:
        out = source_.as<Dict>().entries()[at].first;
        break;
      case Type::kDictView:
        out = view_item(runtime, source_.as<DictView>(), at);
        break;
      case Type::kBytes:
        out = Value::integer(static_cast<unsigned char>(source_.as<Bytes>().bytes[at]));
        break;
      default:
        return false;
    }
    return true;
  }

 private:
  Value source_;
  int64_t length_;
  int64_t position_ = 0;
  bool backward_;
};

class StringIterator final : public Iterator {
 public:
  explicit StringIterator(Value source) : source_(std::move(source)) {}
  std::string type_name() const override { return "str_iterator"; }
  bool next(Runtime& runtime, Value& out) override {
    const std::string_view rest = std::string_view(source_.text()).substr(position_);
    if (rest.empty()) return false;
    runtime.budget.items(1);
    const auto length = static_cast<size_t>(first_code_point(rest).length);
    out = runtime.string(std::string(rest.substr(0, length)));
    position_ += length;
    return true;
  }

 private:
  Value source_;
  size_t position_ = 0;
};

/// What `loop` itself gives: the items that its loop has not had yet, each with the loop.
class LoopItems final : public Iterator {
 public:
  explicit LoopItems(Value loop) : loop_(std::move(loop)) {}
  bool next(Runtime& runtime, Value& out) override {
    Value item;
    if (!loop_.mutable_as<Loop>().next(runtime, item)) return false;
    runtime.budget.items(4);
    out = runtime.tuple({std::move(item), loop_});
    return true;
  }

 private:
  Value loop_;
};

class EmptyIterator final : public Iterator {
 public:
  bool next(Runtime&, Value&) override { return false; }
};

}  // namespace

Value view_item(Runtime& runtime, const DictView& view, size_t index) {
  const auto& [key, value] = view.dict.as<Dict>().entries()[index];
  if (view.part == DictView::Part::kKeys) return key;
  if (view.part == DictView::Part::kValues) return value;
  return runtime.tuple({key, value});
}

bool is_iterable(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
    case Type::kString:
    case Type::kBytes:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kDictView:
    case Type::kRange:
    case Type::kIterator:
      return true;
    case Type::kObject:
      return value.get_if<Loop>() != nullptr;
    default:
      return false;
  }
}

std::shared_ptr<Iterator> make_iterator(Runtime& runtime, const Value& value) {
  switch (value.type()) {
    case Type::kIterator:
      return std::static_pointer_cast<Iterator>(value.shared());
    case Type::kUndefined:
      return std::make_shared<EmptyIterator>();
    case Type::kString:
      return std::make_shared<StringIterator>(value);
    case Type::kBytes:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kDictView:
    case Type::kRange:
      return std::make_shared<IndexIterator>(value, length_of(runtime, value), false);
    default:
      if (value.get_if<Loop>() != nullptr) return std::make_shared<LoopItems>(value);
      raise_type("'{}' object is not iterable", type_name(value));
  }
}

std::vector<Value> collect(Runtime& runtime, const Value& value) {
  if (value.is(Type::kList) || value.is(Type::kTuple)) {
    runtime.budget.items(static_cast<int64_t>(value.items().size()));
    return value.items();
  }
  const int64_t length = length_of(runtime, value);
  if (length > 0) runtime.budget.check_size(length * static_cast<int64_t>(sizeof(Value)));
  const std::shared_ptr<Iterator> iterator = make_iterator(runtime, value);
  std::vector<Value> out;
  Value item;
  while (iterator->next(runtime, item)) {
    out.push_back(item);
    if (out.size() % 1024 == 0) runtime.budget.check_size(static_cast<int64_t>(out.size() * sizeof(Value)));
  }
  return out;
}

Value make_reversed(Runtime& runtime, const Value& value) {
  switch (value.type()) {
    case Type::kString: {
      std::vector<Value> items = collect(runtime, value);
      return Value(Type::kIterator,
                   std::make_shared<IndexIterator>(runtime.list(std::move(items)), value.as<String>().length, true));
    }
    case Type::kBytes:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kDictView:
    case Type::kRange:
      return Value(Type::kIterator, std::make_shared<IndexIterator>(value, length_of(runtime, value), true));
    case Type::kUndefined:
      return Value(Type::kIterator, std::make_shared<EmptyIterator>());
    default:
      return {};
  }
}

Value character_at(Runtime& runtime, const String& text, int64_t index) {
  if (text.ascii()) return runtime.string(text.text.substr(static_cast<size_t>(index), 1), text.markup);
  runtime.budget.bytes(index);
  const size_t at = byte_offset(text.text, index);
  const int length = first_code_point(std::string_view(text.text).substr(at)).length;
  return runtime.string(text.text.substr(at, static_cast<size_t>(length)), text.markup);
}

Value make_lazy(Runtime& runtime, std::shared_ptr<Iterator> iterator, int32_t source_depth) {
  iterator->depth = source_depth + 1;
  check_depth(runtime.budget, iterator->depth);
  return Value(Type::kIterator, std::move(iterator));
}

Value make_keyword_dict(Runtime& runtime, const Args& args) {
  auto dict = std::make_shared<Dict>();
  for (const auto& [name, value] : args.keyword) dict->set(runtime.string(name), value);
  dict->seal(runtime.budget);
  return Value(Type::kDict, std::move(dict));
}

}  // namespace duet::jinja
