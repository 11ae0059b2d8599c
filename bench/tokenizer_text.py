"""Text to measure tokenizers with: English, Chinese and program code, made from word lists and a few grammars and a seed, so that
no sentence comes twice in the same words and the same bytes come on every machine.

  python3 bench/tokenizer_text.py english|chinese|code OUT [--megabytes 21] [--seed 1]
"""
import argparse
import bisect
import itertools
import random

NOUNS = """time year people way day man thing woman life child world school state family student group country problem hand part place case week
company system program question work government number night point home water room mother area money story fact month lot right study book eye job
word business issue side kind head house service friend father power hour game line end member law car city community name president team minute idea
body information back parent face level office door health person art war history party result change morning reason research girl guy moment air
teacher force education foot boy age policy process music market sense nation plan college interest death experience effect use class control field
development role effort rate heart drug show leader light voice wife police mind price report decision son view relationship town road arm difference
value building action season society tax director position player record paper space ground form event official matter center couple site project
activity star table need court oil situation cost industry figure street image phone data picture practice piece land product doctor wall patient
worker news test movie north love support technology step baby computer type attention film tree source organization hair look window culture chance
brother energy period course summer plant opportunity term letter condition choice rule daughter south husband floor campaign material population call
economy hospital church risk fire future bank fish animal garden kitchen mountain island river forest bridge engine harbor lantern meadow orchard
pebble quarry ribbon saddle thicket umbrella valley willow yarn zephyr anchor basket candle dagger ember feather glacier hammer ivory jacket kettle
ladder mirror needle oyster pillow quilt rocket shovel timber urn velvet whistle""".split()
VERBS = """say make know think take see come want look find give tell work call try ask need feel become leave put mean keep let begin help talk turn
start show hear play run move like live believe hold bring happen write provide sit stand lose pay meet include continue set learn change lead
understand watch follow stop create speak read allow add spend grow open walk win offer remember love consider appear buy wait serve die send expect
build stay fall cut reach kill remain suggest raise pass sell require report decide pull return explain hope develop carry break receive agree support
hit produce eat cover catch draw choose cause point listen realize place close involve increase whisper gather borrow polish wander measure balance
scatter fasten mumble repair harvest""".split()
ADJECTIVES = """good new first last long great little own other old right big high different small large next early young important few public bad same
able human local sure better free whole clear recent certain personal open red difficult available likely short single medical current wrong private
past foreign fine common poor natural significant similar hot dead central happy serious ready simple left physical general environmental financial
blue democratic dark various entire close legal religious cold final main green nice huge popular traditional cultural quiet brittle golden hollow
crimson distant eager fragile gentle humble jagged lively mellow narrow ornate patient rugged silent tender uneven vivid weary""".split()
ADVERBS = """up so out just now how then more also here well only very even back there down still in as to when never really most on why about over again
where right off always today all far long away yet often ever however almost later much once least ago together around already enough both maybe
actually probably home of course perhaps little else sometimes finally less better early especially either quite simply nearly soon certainly quickly
recently before usually thus exactly hard particularly pretty forward ok clearly indeed rather that tonight close suddenly""".split()
SMALL = "the of and a to in is was he for it with as his on be at by i this had not are but from or have an they which one you were her all she there would their we him been has when who will more no if out so said what up its about into than them can only other new some could".split()
ONSETS = "b c d f g h j k l m n p r s t v w br cr dr fr gr pr tr bl cl fl gl pl sl st sp sk ch sh th wh qu".split()
VOWELS = "a e i o u ai ea ee oa oo ou".split()
CODAS = "n r l s t m d ck nd nt st ng rd lt mp x".split() + [""] * 8
PREFIXES = ["", "", "", "", "", "re", "un", "over", "under", "pre", "dis", "inter", "counter", "sub"]
SUFFIXES = ["", "", "", "s", "s", "ed", "ing", "er", "ly", "ness", "ful", "less", "able", "ment", "ization"]

HAN = ("的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她"
       "本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先"
       "海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听"
       "白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔刷窗桥灯茶酒饭菜鱼鸟花草树叶风雨雪云河湖岛船车站票街店铺墙屋床桌椅镜钟表针线布"
       "衣裤鞋帽伞钥匙锁盒袋瓶杯碗盘刀叉勺锅炉火烟灰尘土石沙泥铁铜银珠玉纸墨砚琴棋画诗词歌舞戏剧影视频网络软硬盘键鼠屏幕算法库")
HAN_WORDS = """我们 他们 自己 没有 什么 知道 时候 现在 可以 因为 所以 但是 如果 问题 工作 中国 社会 发展 经济 政府 公司 学生 老师 学校 生活 世界 国家 人民 历史 文化 科学 技术 研究 系统 信息 数据
计算机 互联网 人工智能 机器学习 模型 语言 文字 翻译 方法 结果 影响 关系 重要 需要 应该 可能 已经 开始 继续 认为 表示 进行 通过 提高 增加 减少 建设 管理 服务 市场 产品 价格 消费者 企业 投资 银行 城市 农村
环境 保护 健康 医院 医生 病人 孩子 父母 朋友 家庭 今天 明天 昨天 早上 晚上 春天 夏天 秋天 冬天 北京 上海 广州 深圳 香港 长江 黄河 高山 大海 天空 星星 月亮 太阳 音乐 电影 小说 诗歌 故事 新闻 报纸 电视 手机
汽车 火车 飞机 地铁 道路 桥梁 房子 窗户 厨房 花园 水果 蔬菜 米饭 面条 豆腐 牛奶 咖啡 绿茶 非常 特别 比较 终于 突然 慢慢地 仍然 几乎 往往 甚至 不仅 而且 虽然 然而 因此 于是 首先 其次 最后 总之 例如 根据 关于 对于""".split()


class Picker:
    """Words with frequencies that fall like 1 / rank."""
    def __init__(self, words, power=1.0):
        self.words = words
        self.sums = list(itertools.accumulate(1 / (i + 3) ** power for i in range(len(words))))

    def pick(self, rng):
        return self.words[bisect.bisect_left(self.sums, rng.random() * self.sums[-1])]


def invented(rng, count):
    """Names and rare words that no vocabulary has whole."""
    word = lambda: "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randint(2, 3)))
    return [word() for _ in range(count)]


def english(rng):
    derived = [p + w + s for w in NOUNS + VERBS + ADJECTIVES for p, s in ((rng.choice(PREFIXES), rng.choice(SUFFIXES)) for _ in range(12))]
    rng.shuffle(derived)
    small, nouns, verbs, adjectives, adverbs = Picker(SMALL), Picker(NOUNS), Picker(VERBS), Picker(ADJECTIVES), Picker(ADVERBS)
    rare, names = Picker(derived, 0.8), Picker([w.capitalize() for w in invented(rng, 20000)], 0.7)

    def noun_phrase():
        kind = rng.random()
        if kind < 0.12: return names.pick(rng)
        if kind < 0.3: return small.pick(rng) + " " + rare.pick(rng)
        if kind < 0.6: return small.pick(rng) + " " + adjectives.pick(rng) + " " + nouns.pick(rng)
        return small.pick(rng) + " " + nouns.pick(rng)

    def clause():
        s = noun_phrase() + " " + rng.choice(["", "", "", "can ", "will ", "didn't ", "hadn't ", "never "]) + verbs.pick(rng) + " " + noun_phrase()
        if rng.random() < 0.4: s += " " + small.pick(rng) + " " + noun_phrase()
        if rng.random() < 0.25: s += " " + adverbs.pick(rng)
        if rng.random() < 0.06: s += " in %d" % rng.randint(1500, 2030)
        if rng.random() < 0.04: s += " (%d.%d%%)" % (rng.randint(0, 99), rng.randint(0, 9))
        return s

    def sentence():
        s = clause()
        while rng.random() < 0.45: s += rng.choice([", and ", ", but ", "; ", ", which ", " because ", " - "]) + clause()
        if rng.random() < 0.08: s = '"' + s + '," ' + names.pick(rng) + " said"
        return s[0].upper() + s[1:] + rng.choice([".", ".", ".", ".", ".", "!", "?"])

    while True:
        yield " ".join(sentence() for _ in range(rng.randint(2, 7))) + "\n\n"


def chinese(rng):
    words, characters = Picker(HAN_WORDS, 0.9), Picker(list(dict.fromkeys(HAN)), 0.9)

    def clause():
        s = "".join(words.pick(rng) if rng.random() < 0.55 else characters.pick(rng) for _ in range(rng.randint(3, 9)))
        if rng.random() < 0.05: s += "%d年" % rng.randint(1900, 2030)
        if rng.random() < 0.03: s += rng.choice(["GPU", " Linux ", "API", "TCP/IP", "Wi-Fi"])
        return s

    while True:
        s = "".join("，".join(clause() for _ in range(rng.randint(1, 4))) + rng.choice("。。。。！？；") for _ in range(rng.randint(2, 6)))
        yield (("“" + s + "”") if rng.random() < 0.1 else s) + "\n"


def code(rng):
    words = Picker(NOUNS + VERBS + ADJECTIVES, 0.6)
    rare = Picker(invented(rng, 5000), 0.7)
    part = lambda: rare.pick(rng) if rng.random() < 0.07 else words.pick(rng)
    snake = lambda: "_".join(part() for _ in range(rng.randint(1, 3)))
    camel = lambda: "".join(w if i == 0 else w.capitalize() for i, w in enumerate(part() for _ in range(rng.randint(1, 3))))

    def expression(name, depth=0):
        kind = rng.random()
        if depth > 2 or kind < 0.35: return name()
        if kind < 0.45: return str(rng.choice([0, 1, 2, 10, 64, 255, 1024, rng.randint(0, 99999)]))
        if kind < 0.5: return '"%s"' % " ".join(part() for _ in range(rng.randint(1, 4)))
        if kind < 0.7: return "%s(%s)" % (name(), ", ".join(expression(name, depth + 1) for _ in range(rng.randint(0, 3))))
        if kind < 0.8: return "%s[%s]" % (name(), expression(name, depth + 1))
        if kind < 0.9: return "%s.%s" % (name(), name())
        return "%s %s %s" % (expression(name, depth + 1), rng.choice(["+", "-", "*", "/", "==", "<", ">=", "&&", "|", "%"]), expression(name, depth + 1))

    def python(indent, depth):
        pad, kind = "    " * indent, rng.random()
        if depth > 3 or kind < 0.5: return "%s%s = %s\n" % (pad, snake(), expression(snake))
        if kind < 0.6: return "%s# %s\n" % (pad, " ".join(part() for _ in range(rng.randint(3, 10))))
        if kind < 0.7: return "%sreturn %s\n" % (pad, expression(snake))
        head = rng.choice(["if %s:" % expression(snake), "for %s in %s:" % (snake(), expression(snake)), "while %s:" % expression(snake), "with %s as %s:" % (expression(snake), snake())])
        return pad + head + "\n" + "".join(python(indent + 1, depth + 1) for _ in range(rng.randint(1, 4)))

    def braces(indent, depth):
        pad, kind = "  " * indent, rng.random()
        if depth > 3 or kind < 0.5: return "%s%s %s = %s;\n" % (pad, rng.choice(["const auto", "int", "auto&", "let", "var", "std::string", "const"]), camel(), expression(camel))
        if kind < 0.6: return "%s// %s\n" % (pad, " ".join(part() for _ in range(rng.randint(3, 10))))
        if kind < 0.7: return "%sreturn %s;\n" % (pad, expression(camel))
        head = rng.choice(["if (%s)" % expression(camel), "for (int i = 0; i < %s; ++i)" % expression(camel), "while (%s)" % expression(camel), "else"])
        return pad + head + " {\n" + "".join(braces(indent + 1, depth + 1) for _ in range(rng.randint(1, 4))) + pad + "}\n"

    while True:
        if rng.random() < 0.5:
            yield "def %s(%s):\n" % (snake(), ", ".join(snake() for _ in range(rng.randint(0, 4)))) + "".join(python(1, 0) for _ in range(rng.randint(2, 8))) + "\n\n"
        else:
            yield "%s %s(%s) {\n" % (rng.choice(["void", "static int", "function", "bool"]), camel(), ", ".join("int " + camel() for _ in range(rng.randint(0, 4)))) + "".join(braces(1, 0) for _ in range(rng.randint(2, 8))) + "}\n\n"


KINDS = {"english": english, "chinese": chinese, "code": code}


def make(kind, seed, size):
    out, total = [], 0
    for piece in KINDS[kind](random.Random(seed)):
        data = piece.encode()
        out.append(data)
        total += len(data)
        if total >= size: return b"".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("out")
    parser.add_argument("--megabytes", type=float, default=21)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    with open(a.out, "wb") as f: f.write(make(a.kind, a.seed, int(a.megabytes * 1e6)))


if __name__ == "__main__":
    main()
