#include "state/state_file.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/bounded_reader.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/indexed_file.h"
#include "tensor/dtype.h"

namespace duet {

/// What a file holds of a SequenceState. Each piece of memory is written once, however many snapshots share it.
struct StateImage {
  using Page = SequenceState::Page;
  using Snapshot = SequenceState::Snapshot;

  static const SequenceState::Pages& pages(const SequenceState& state) { return state.pages_; }
  static const Page& recurrent(const SequenceState& state) { return state.recurrent_; }
  static int64_t earliest(const SequenceState& state) { return state.earliest_; }
  static const std::vector<Snapshot>& snapshots(const SequenceState& state) { return state.snapshots_; }

  /// `now` is what going on from its end needs, in the form of a snapshot with the pages of all groups.
  static void fill(SequenceState& state, Snapshot now, std::vector<Snapshot> snapshots) {
    state.length_tokens_ = now.length_tokens;
    state.earliest_ = now.earliest;
    state.recurrent_ = std::move(now.recurrent);
    state.resize_tables(now.local.empty() ? 0 : now.local.front().size());
    for (size_t g = 0; g < now.local.size(); ++g) {
      for (size_t i = 0; i < now.local[g].size(); ++i) state.place(g, i, std::move(now.local[g][i]));
    }
    state.snapshots_ = std::move(snapshots);
  }
  static bool can_go_on(const SequenceState& state) {
    const int64_t length = state.length_tokens_;
    return state.resumable(length, state.earliest_, state.pages_) == length;
  }
};

namespace {

using Page = StateImage::Page;
using Snapshot = StateImage::Snapshot;

constexpr std::string_view kMagic = "DUETSTAT";
constexpr uint32_t kVersion = 1;
constexpr int64_t kPieceBytes = int64_t{1} << 20;  // of a section, with a checksum of its own
constexpr int64_t kMostIndexBytes = int64_t{1} << 28;
constexpr uint32_t kNoSection = 0xFFFFFFFF;

size_t pages_of(int64_t tokens) {
  return static_cast<size_t>((tokens + KvView::kPageTokens - 1) / KvView::kPageTokens);
}
size_t pieces_of(int64_t bytes) { return static_cast<size_t>((bytes + kPieceBytes - 1) / kPieceBytes); }

/// The fields that the layout gives, behind those of the caller.
StateFields with_layout(StateFields fields, const StateLayout& layout) {
  std::string kv_type, shapes;
  size_t attention = 0, delta_net = 0;
  for (const LayerLayout& layer : layout.layers()) {
    if (const auto* kv = std::get_if<KvLayerLayout>(&layer)) {
      ++attention;
      kv_type = dtype_info(kv->dtype).name;
      shapes += fmt::format("kv {} {} {} {}\n", kv->kv_heads, kv->head_dim, kv->window, kv->chunk);
    } else {
      const auto& delta = std::get<DeltaLayerLayout>(layer);
      ++delta_net;
      shapes += fmt::format("delta {} {} {} {} {}", delta.key_heads, delta.value_heads, delta.key_dim, delta.value_dim,
                            delta.conv_width);
      for (const int32_t head : delta.key_head_of_value_head) shapes += fmt::format(" {}", head);
      shapes += '\n';
    }
  }
  fields.emplace_back("KV type", kv_type);
  fields.emplace_back("page size", fmt::format("{} tokens", KvView::kPageTokens));
  fields.emplace_back("chunk size", fmt::format("{} tokens", DeltaView::kChunkTokens));
  fields.emplace_back("layers", fmt::format("{} of attention, {} of Gated DeltaNet, shapes {:016x}", attention,
                                            delta_net, checksum64(std::as_bytes(std::span(shapes)))));
  return fields;
}

/// Writes sections one behind the other, and remembers what the index has to say of them.
class SectionWriter {
 public:
  SectionWriter(OutputFile& file, Device& device) : file_(file), device_(device) {}

  /// The number of the section that holds `page`.
  uint32_t add(const Page& page) {
    if (!page) return kNoSection;
    const auto [found, is_new] = numbers_.try_emplace(page.get(), static_cast<uint32_t>(numbers_.size()));
    if (is_new) write(*page);
    return found->second;
  }
  uint64_t end() const { return end_; }
  uint64_t count() const { return numbers_.size(); }
  const std::string& table() const { return table_; }

 private:
  void write(const Buffer& buffer) {
    put(table_, static_cast<uint64_t>(buffer.bytes()));
    staging_.resize(static_cast<size_t>(std::min(kPieceBytes, std::max<int64_t>(1, buffer.bytes()))));
    for (int64_t at = 0; at < buffer.bytes(); at += kPieceBytes) {
      const auto piece = std::span(staging_).first(static_cast<size_t>(std::min(kPieceBytes, buffer.bytes() - at)));
      device_.copy_to_host(piece.data(), buffer.data() + at, static_cast<int64_t>(piece.size()));
      put(table_, checksum64(piece));
      file_.write_at(end_, piece);
      end_ += piece.size();
    }
  }

  OutputFile& file_;
  Device& device_;
  uint64_t end_ = sizeof(IndexedFileHead);
  std::unordered_map<const Buffer*, uint32_t> numbers_;
  std::string table_;
  std::vector<std::byte> staging_;
};

/// A file that is being read: every number of it is judged here.
class Reader {
 public:
  Reader(const ByteSource& file, Device& device, const StateLayout& layout, const StateLimits& limits)
      : file_(&file), device_(device), layout_(layout), limits_(limits) {}

  SavedState read(const StateFields& fields) {
    read_head();
    const auto source = memory_source(file_->name(), index_);
    BoundedReader in(*source);
    read_fields(in, fields);
    SavedState stored;
    stored.tokens = read_tokens(in);
    in.item("the state");
    Places now = read_places(in, stored.tokens.size(), /*all_groups=*/true);
    in.item("the snapshots");
    const auto count = in.read<uint32_t>();
    if (count > SequenceState::kMaxSnapshots) refuse("the number of snapshots", count, SequenceState::kMaxSnapshots);
    std::vector<Places> snapshots;
    for (uint32_t i = 0; i < count; ++i) {
      snapshots.push_back(read_places(in, static_cast<size_t>(now.length_tokens), /*all_groups=*/false));
    }
    read_sections(in);
    if (in.left() > 0) fail(ErrorCode::kBadValue, "{}: {} bytes too many in the index", file_->name(), in.left());
    check(now);
    for (const Places& snapshot : snapshots) check(snapshot);
    for (const Section& section : sections_) {
      if (section.bytes != section.wanted_bytes) refuse("the size of a section", section.bytes, section.wanted_bytes);
    }
    load_sections();
    stored.state = std::make_unique<SequenceState>(device_, layout_);
    std::vector<Snapshot> kept;
    kept.reserve(snapshots.size());
    for (const Places& snapshot : snapshots) kept.push_back(build(snapshot));
    Snapshot last = build(now);
    sections_.clear();  // else a page would count as shared
    StateImage::fill(*stored.state, std::move(last), std::move(kept));
    if (!StateImage::can_go_on(*stored.state)) {
      fail(ErrorCode::kBadValue, "{}: pages that going on from token {} needs are missing", file_->name(),
           stored.state->length_tokens());
    }
    return stored;
  }

 private:
  struct Section {
    int64_t bytes = 0, wanted_bytes = -1;  // as the file and as the layout have it
    std::vector<uint64_t> sums;
    Page memory;
  };
  /// A snapshot whose memory is numbers of sections.
  struct Places {
    int64_t length_tokens = 0, earliest = 0;
    uint32_t recurrent = kNoSection;
    std::vector<std::vector<uint32_t>> pages;  // of each group
  };

  template <typename Found, typename Wanted>
  [[noreturn]] void refuse(std::string_view what, const Found& found, const Wanted& wanted) const {
    fail(ErrorCode::kBadValue, "{}: {} is {}, wanted: {}", file_->name(), what, found, wanted);
  }
  [[noreturn]] void damaged(std::string_view what, uint64_t found, uint64_t wanted) const {
    fail(ErrorCode::kHashMismatch, "{}: {} is damaged: its checksum is {:016x}, it was written with {:016x}",
         file_->name(), what, found, wanted);
  }

  void read_head() {
    IndexedFileHead head;
    BoundedReader in(*file_);
    in.item("the head of a state file");
    in.read_bytes(std::as_writable_bytes(std::span(&head, 1)));
    const std::string_view magic = head.magic_text();
    if (magic != kMagic) {
      fail(ErrorCode::kBadMagic, "{}: begins with '{}', a state file with '{}'", file_->name(), printable(magic),
           kMagic);
    }
    if (head.version != kVersion) {
      fail(ErrorCode::kUnsupportedVersion, "{}: has version {}, this duet reads {}", file_->name(), head.version,
           kVersion);
    }
    if (const uint64_t sum = head.computed_sum(); sum != head.sum) damaged("the head", sum, head.sum);
    const uint64_t size = file_->size();
    if (size < head.file_bytes) {
      fail(ErrorCode::kTruncated, "{}: has {} bytes, it was written with {}", file_->name(), size, head.file_bytes);
    }
    if (size != head.file_bytes) refuse("the size of the file", size, head.file_bytes);
    if (head.index_offset < sizeof(IndexedFileHead) || head.index_offset > size ||
        head.index_bytes != size - head.index_offset || head.index_bytes > static_cast<uint64_t>(kMostIndexBytes)) {
      fail(ErrorCode::kBadOffset, "{}: the index lies at byte {} with {} bytes, of {}", file_->name(),
           head.index_offset, head.index_bytes, size);
    }
    index_.resize(head.index_bytes);
    file_->read_at(head.index_offset, index_);
    if (const uint64_t sum = checksum64(index_); sum != head.index_sum) damaged("the index", sum, head.index_sum);
    data_end_ = head.index_offset;
  }

  void read_fields(BoundedReader& in, const StateFields& fields) const {
    in.item("the fields");
    const auto count = in.read<uint32_t>();
    in.require_count(count, 8, "fields");
    std::unordered_map<std::string, std::string> found;
    for (uint32_t i = 0; i < count; ++i) {
      const std::string name = read_text(in);
      found.insert_or_assign(name, read_text(in));
    }
    for (const auto& [name, wanted] : fields) {
      const auto at = found.find(name);
      if (at == found.end()) fail(ErrorCode::kMissingKey, "{}: lacks the field '{}'", file_->name(), name);
      if (at->second == wanted || at->second.empty() || wanted.empty()) continue;
      throw Error(
          ErrorCode::kBadValue,
          fmt::format("{}: field '{}' is '{}', here it is '{}'", file_->name(), name, printable(at->second), wanted),
          "a state goes on only with the model, the options and the arithmetic that it was saved with");
    }
  }

  std::vector<TokenId> read_tokens(BoundedReader& in) const {
    in.item("the tokens");
    const auto count = in.read<uint64_t>();
    in.require_count(count, sizeof(int32_t), "tokens");
    if (count > static_cast<uint64_t>(limits_.context_tokens)) {
      fail(ErrorCode::kContextOverflow, "{}: has {} tokens, the context holds {}", file_->name(), count,
           limits_.context_tokens);
    }
    std::vector<TokenId> tokens;
    for (uint64_t i = 0; i < count; ++i) {
      const auto id = in.read<int32_t>();
      if (id < 0 || id >= limits_.vocabulary) {
        refuse(fmt::format("token {}", i), id, fmt::format("0 to {}", limits_.vocabulary - 1));
      }
      tokens.push_back(TokenId{id});
    }
    return tokens;
  }

  Places read_places(BoundedReader& in, size_t most_tokens, bool all_groups) const {
    Places places;
    places.length_tokens = in.read<int64_t>();
    places.earliest = in.read<int64_t>();
    if (places.length_tokens < 1 || static_cast<uint64_t>(places.length_tokens) > most_tokens) {
      refuse("the length of a state", places.length_tokens, fmt::format("1 to {}", most_tokens));
    }
    if (places.earliest < 0 || places.earliest > places.length_tokens) {
      refuse("where a state can go back to", places.earliest, fmt::format("0 to {}", places.length_tokens));
    }
    places.recurrent = in.read<uint32_t>();
    for (const StateLayout::PageGroup& group : layout_.groups()) {
      const auto count = in.read<uint64_t>();
      const uint64_t wanted = all_groups || group.reach.is_local() ? pages_of(places.length_tokens) : 0;
      if (all_groups ? count != wanted : count > wanted) refuse("the number of pages", count, wanted);
      in.require_count(count, sizeof(uint32_t), "pages");
      auto& pages = places.pages.emplace_back();
      for (uint64_t i = 0; i < count; ++i) pages.push_back(in.read<uint32_t>());
    }
    return places;
  }

  void read_sections(BoundedReader& in) {
    in.item("the sections");
    const auto count = in.read<uint64_t>();
    in.require_count(count, 2 * sizeof(uint64_t), "sections");
    uint64_t left = data_end_ - sizeof(IndexedFileHead);
    for (uint64_t i = 0; i < count; ++i) {
      const auto bytes = in.read<uint64_t>();
      if (bytes == 0 || bytes > left)
        refuse(fmt::format("the size of section {}", i), bytes, fmt::format("1 to {}", left));
      left -= bytes;
      Section section{static_cast<int64_t>(bytes), -1, {}, {}};
      in.require_count(pieces_of(section.bytes), sizeof(uint64_t), "checksums");
      for (size_t piece = 0; piece < pieces_of(section.bytes); ++piece) section.sums.push_back(in.read<uint64_t>());
      sections_.push_back(std::move(section));
    }
    if (left > 0)
      refuse("the bytes of all sections", data_end_ - sizeof(IndexedFileHead) - left,
             data_end_ - sizeof(IndexedFileHead));
  }

  /// Notes how large a section must be.
  void want(uint32_t number, int64_t bytes) {
    if (number == kNoSection) return;
    if (number >= sections_.size())
      refuse("the number of a section", number, fmt::format("below {}", sections_.size()));
    Section& section = sections_[number];
    if (section.wanted_bytes >= 0 && section.wanted_bytes != bytes) {
      refuse("the size of a section", section.wanted_bytes, bytes);
    }
    section.wanted_bytes = bytes;
  }
  void check(const Places& places) {
    if ((places.recurrent != kNoSection) != (layout_.recurrent_bytes() > 0)) {
      refuse("the recurrent state", places.recurrent == kNoSection ? "missing" : "there",
             layout_.recurrent_bytes() > 0 ? "there" : "missing");
    }
    want(places.recurrent, layout_.recurrent_bytes());
    for (size_t g = 0; g < places.pages.size(); ++g) {
      const StateLayout::PageGroup& group = layout_.groups()[g];
      for (const uint32_t number : places.pages[g]) {
        if (number == kNoSection && !group.reach.is_local()) refuse("a page of full attention", "missing", "there");
        want(number, group.page_bytes);
      }
    }
  }

  void load_sections() {
    std::vector<std::byte> staging;
    uint64_t offset = sizeof(IndexedFileHead);
    for (size_t i = 0; i < sections_.size(); ++i) {
      Section& section = sections_[i];
      section.memory = std::make_shared<Buffer>(device_.allocate(section.bytes));
      for (size_t piece = 0; piece < section.sums.size(); ++piece) {
        const int64_t at = static_cast<int64_t>(piece) * kPieceBytes;
        staging.resize(static_cast<size_t>(std::min(kPieceBytes, section.bytes - at)));
        file_->read_at(offset, staging);
        if (const uint64_t sum = checksum64(staging); sum != section.sums[piece]) {
          damaged(fmt::format("section {} ({} bytes at {})", i, staging.size(), offset), sum, section.sums[piece]);
        }
        device_.copy_to_device(section.memory->data() + at, staging.data(), static_cast<int64_t>(staging.size()));
        device_.sync();  // the staging is used again
        offset += staging.size();
      }
    }
  }

  Snapshot build(const Places& places) const {
    Snapshot out{places.length_tokens, places.earliest, {}, {}};
    const auto memory = [&](uint32_t number) { return number == kNoSection ? Page() : sections_[number].memory; };
    out.recurrent = memory(places.recurrent);
    for (const auto& numbers : places.pages) {
      auto& pages = out.local.emplace_back();
      for (const uint32_t number : numbers) pages.push_back(memory(number));
    }
    for (size_t i = 0; i < layout_.layers().size(); ++i) {
      if (std::holds_alternative<KvLayerLayout>(layout_.layers()[i])) continue;
      int64_t anchor = 0;  // which the kernels rely on
      device_.copy_to_host(&anchor, out.recurrent->data() + layout_.recurrent_at(i) + DeltaView::anchor_at(),
                           sizeof anchor);
      const bool fits = anchor >= 0 && anchor % DeltaView::kChunkTokens == 0 && anchor <= out.earliest &&
                        out.length_tokens - anchor <= 2 * DeltaView::kChunkTokens;
      if (!fits) {
        refuse(fmt::format("the anchor of layer {}", i), anchor,
               fmt::format("a multiple of {} up to {}, at most {} before {}", DeltaView::kChunkTokens, out.earliest,
                           2 * DeltaView::kChunkTokens, out.length_tokens));
      }
    }
    return out;
  }

  const ByteSource* file_;
  Device& device_;
  const StateLayout& layout_;
  StateLimits limits_;
  std::vector<std::byte> index_;
  uint64_t data_end_ = 0;
  std::vector<Section> sections_;
};

}  // namespace

void write_state(OutputFile& file, const StateFields& fields, std::span<const TokenId> tokens, Device& device,
                 const StateLayout& layout, const SequenceState& state) {
  DUET_CHECK(state.length_tokens() > 0 && static_cast<int64_t>(tokens.size()) >= state.length_tokens());
  std::string index;
  const StateFields all = with_layout(fields, layout);
  put(index, static_cast<uint32_t>(all.size()));
  for (const auto& [name, value] : all) {
    put_text(index, name);
    put_text(index, value);
  }
  put(index, static_cast<uint64_t>(tokens.size()));
  for (const TokenId id : tokens) put(index, to_int(id));

  SectionWriter sections(file, device);
  const auto put_places = [&](int64_t length, int64_t earliest, const Page& recurrent, const auto& groups) {
    put(index, length);
    put(index, earliest);
    put(index, sections.add(recurrent));
    for (const std::vector<Page>& pages : groups) {
      const size_t count = std::min(pages.size(), pages_of(length));  // behind them lie rows that may yet be written
      put(index, static_cast<uint64_t>(count));
      for (size_t i = 0; i < count; ++i) put(index, sections.add(pages[i]));
    }
  };
  put_places(state.length_tokens(), StateImage::earliest(state), StateImage::recurrent(state),
             StateImage::pages(state));
  put(index, static_cast<uint32_t>(StateImage::snapshots(state).size()));
  for (const Snapshot& snapshot : StateImage::snapshots(state)) {
    put_places(snapshot.length_tokens, snapshot.earliest, snapshot.recurrent, snapshot.local);
  }
  put(index, sections.count());
  index += sections.table();

  write_index(file, kMagic, kVersion, sections.end(), index);
}

SavedState read_state(const ByteSource& file, const StateFields& fields, Device& device, const StateLayout& layout,
                      const StateLimits& limits) {
  return Reader(file, device, layout, limits).read(with_layout(fields, layout));
}

}  // namespace duet
