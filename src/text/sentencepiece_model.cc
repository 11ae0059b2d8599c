#include "text/sentencepiece_model.h"

#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "text/vocabulary.h"

namespace duet {
namespace {

/// A message of the protocol buffer format, field by field. Nothing is nested deeper than the callers are.
class Message {
 public:
  enum Wire : unsigned { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  Message(std::string_view bytes, std::string_view file, std::string_view name, size_t offset)
      : bytes_(bytes), file_(file), name_(name), offset_(offset) {}

  /// Goes to the next field; false at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    begin_ = at_;
    const uint64_t tag = read_varint();
    field_ = tag >> 3;
    wire_ = static_cast<unsigned>(tag & 7);
    if (field_ == 0 || field_ > 536870911) bad("has a field with a number outside 1 to 536870911");
    switch (wire_) {
      case kVarint:
        number_ = read_varint();
        break;
      case kFixed64:
        number_ = read_fixed(8);
        break;
      case kFixed32:
        number_ = read_fixed(4);
        break;
      case kBytes: {
        const uint64_t size = read_varint();
        if (size > bytes_.size() - at_) bad("announces more bytes than there are");
        data_at_ = at_;
        data_ = bytes_.substr(at_, static_cast<size_t>(size));
        at_ += static_cast<size_t>(size);
        break;
      }
      default:
        bad("has a field of a wire type that is unknown");
    }
    return true;
  }
  uint64_t field() const { return field_; }
  int64_t integer() const {
    need(kVarint);
    return static_cast<int64_t>(number_);
  }
  bool boolean() const { return integer() != 0; }
  float number() const {
    need(kFixed32);
    return std::bit_cast<float>(static_cast<uint32_t>(number_));
  }
  std::string_view data() const {
    need(kBytes);
    return data_;
  }
  std::string text() const {
    if (!is_valid_utf8(data())) bad("has text that is not UTF-8");
    return std::string(data_);
  }
  Message message(std::string_view name) const {
    need(kBytes);
    return Message(data_, file_, name, offset_ + data_at_);
  }
  [[noreturn]] void bad(std::string_view why) const {
    fail(ErrorCode::kBadTokenizer, "{}: {} {} (byte {})", file_, name_, why, offset_ + begin_);
  }

 private:
  void need(unsigned wire) const {
    if (wire_ != wire) {
      fail(ErrorCode::kBadTokenizer, "{}: field {} of {} has the wire type {}, expected {} (byte {})", file_, field_,
           name_, wire_, wire, offset_ + begin_);
    }
  }
  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == bytes_.size()) bad("breaks off");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      if (shift == 63 && byte > 1) bad("has a number of more than 64 bits");
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    bad("has a number of more than 64 bits");
  }
  uint64_t read_fixed(size_t size) {
    if (bytes_.size() - at_ < size) bad("breaks off");
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i)
      value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes_[at_++])) << (8 * i);
    return value;
  }

  std::string_view bytes_, file_, name_;
  size_t offset_;  // of the message in the file
  size_t at_ = 0, begin_ = 0, data_at_ = 0;
  uint64_t field_ = 0, number_ = 0;
  unsigned wire_ = 0;
  std::string_view data_;
};

Piece read_piece(Message message) {
  Piece piece;
  while (message.next()) {
    if (message.field() == 1) piece.text = message.text();
    if (message.field() == 2) piece.score = message.number();
    if (message.field() == 3) {
      const int64_t type = message.integer();
      if (type < 1 || type > 6) message.bad("has a type outside 1 to 6");
      piece.type = static_cast<PieceType>(type);
    }
  }
  if (piece.text.empty()) message.bad("is empty");
  if (!std::isfinite(piece.score)) message.bad("has a score that is no finite number");
  return piece;
}

void read_trainer(Message message, SentencePieceModel& model) {
  while (message.next()) {
    switch (message.field()) {
      case 3:
        model.model_type = message.integer();
        break;
      case 24:
        model.treat_whitespace_as_suffix = message.boolean();
        break;
      case 35:
        model.byte_fallback = message.boolean();
        break;
      case 40:
        model.unk_id = message.integer();
        break;
      case 41:
        model.bos_id = message.integer();
        break;
      case 42:
        model.eos_id = message.integer();
        break;
      default:
        break;
    }
  }
}

void read_normalizer(Message message, SentencePieceModel& model) {
  while (message.next()) {
    switch (message.field()) {
      case 1:
        model.normalizer_name = message.text();
        break;
      case 2:
        model.has_charsmap = !message.data().empty();
        break;
      case 3:
        model.add_dummy_prefix = message.boolean();
        break;
      case 4:
        model.remove_extra_whitespaces = message.boolean();
        break;
      case 5:
        model.escape_whitespaces = message.boolean();
        break;
      default:
        break;
    }
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view file) {
  SentencePieceModel model;
  Message message(bytes, file, "the model", 0);
  while (message.next()) {
    if (message.field() == 1) {
      if (static_cast<int64_t>(model.pieces.size()) >= Vocabulary::kMaxIds) {
        fail(ErrorCode::kTooLarge, "{}: more than {} pieces", file, Vocabulary::kMaxIds);
      }
      model.pieces.push_back(read_piece(message.message(fmt::format("piece {}", model.pieces.size()))));
    } else if (message.field() == 2) {
      read_trainer(message.message("trainer_spec"), model);
    } else if (message.field() == 3) {
      read_normalizer(message.message("normalizer_spec"), model);
    }
  }
  if (model.pieces.empty()) fail(ErrorCode::kBadTokenizer, "{}: the model has no pieces", file);
  return model;
}

}  // namespace duet
